"""What goes wrong on the way to the bucket and back: by rate and seed, or once on demand."""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum

import msgspec


class Fault(StrEnum):
    """What befalls one request."""

    UNAVAILABLE = "unavailable"  # 503, nothing done
    BUSY = "busy"  # 429, nothing done
    FORBIDDEN = "forbidden"  # 403, nothing done: somebody took the rights away
    RESET = "reset"  # the connection breaks half-way through the request; nothing done
    LOST = "lost"  # done, and the connection breaks before the answer
    DENIED_DONE = "denied-done"  # done, but answered with 503
    CUT = "cut"  # the answer breaks off half-way
    SHORT = "short"  # half of a resumable chunk is kept, and said so
    SLOW = "slow"  # the answer takes its time
    HELD = "held"  # nothing is done until `release`


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """The next request of this method whose address contains `text` suffers `fault`."""

    fault: Fault
    method: str = ""
    text: str = ""


class Faults:
    """The weather. A seed means the same faults only for the same requests in the same order."""

    def __init__(self, *, seed: int = 0, slow_seconds: float = 0.5) -> None:
        self.slow_seconds = slow_seconds
        self.happened: Counter[Fault] = Counter()
        self.held = 0
        self._rng = random.Random(seed)
        self._rates: dict[Fault, float] = {}
        self._orders: list[Order] = []

    def set(self, rates: Mapping[Fault, float]) -> None:
        """From now on each request suffers at most one fault, each with its probability."""
        self._rates = dict(rates)

    def order(self, fault: Fault, *, method: str = "", text: str = "", times: int = 1) -> None:
        """The next `times` requests that fit suffer `fault`, whatever the rates."""
        self._orders += [Order(fault=fault, method=method, text=text)] * times

    def forget(self) -> None:
        """No more orders: what they asked for was enough."""
        self._orders.clear()

    async def hold(self) -> None:
        """Keep a request back; `held` counts those that are."""
        self.held += 1
        while self.held:  # noqa: ASYNC110 (the release comes from another thread)
            await asyncio.sleep(0.01)

    def release(self) -> None:
        """Let every request pass that is held."""
        self.held = 0

    @property
    def waiting(self) -> int:
        """Orders that no request has met yet."""
        return len(self._orders)

    def draw(self, method: str, address: str) -> Fault | None:
        """What befalls this request."""
        fault = self._ordered(method, address) or self._by_chance()
        if fault is not None:
            self.happened[fault] += 1
        return fault

    def _ordered(self, method: str, address: str) -> Fault | None:
        for order in self._orders:
            if order.method in ("", method) and order.text in address:
                self._orders.remove(order)
                return order.fault
        return None

    def _by_chance(self) -> Fault | None:
        luck = self._rng.random()
        for fault, rate in self._rates.items():
            luck -= rate
            if luck < 0:
                return fault
        return None
