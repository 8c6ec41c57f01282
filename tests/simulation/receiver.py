"""The receiver of webhooks: as unreliable as the weather, and it remembers what it accepted."""

import asyncio
import random
from collections import Counter

import httpx

from libs.outbound.rules import Rules
from tests.simulation.fault_rates import Weather
from tests.simulation.process import Process

#: Where the ends of all jobs are told, in half of the worlds.
ADDRESS = "http://receiver.lan/hook"
#: Chances a request while the weather is bad: no connection, an answer of 500, no answer, an answer that is lost.
_FAULTS = (0.1, 0.15, 0.05, 0.1)


class Receiver:
    """Takes messages of every process. `accepted` counts how often it answered 2xx, by `webhook-id`."""

    def __init__(self, weather: Weather, rng: random.Random) -> None:
        self._weather = weather
        self._rng = rng
        self.accepted: Counter[str] = Counter()

    def client(self, process: Process) -> "Way":
        """How this process reaches it."""
        return Way(self, process)

    async def answer(self, process: Process, request: httpx.Request) -> httpx.Response:
        """As a server would."""
        process.check()
        await asyncio.sleep(self._rng.uniform(0.01, 0.5))
        await process.thaw()
        bad = asyncio.get_running_loop().time() < self._weather.until
        refuses, fails, hangs, lost = (bad and self._rng.random() < chance for chance in _FAULTS)
        if refuses:
            raise httpx.ConnectError("simulated", request=request)
        if fails:
            return httpx.Response(500)
        if hangs:
            await asyncio.sleep(100)
        self.accepted[request.headers["webhook-id"]] += 1
        if lost:
            raise httpx.ReadError("simulated", request=request)
        return httpx.Response(204)


class Way:
    """See `OpenClient`."""

    def __init__(self, receiver: Receiver, process: Process) -> None:
        self._receiver = receiver
        self._process = process

    def __call__(self, rules: Rules, *, seconds: float) -> httpx.AsyncClient:
        async def handle(request: httpx.Request) -> httpx.Response:
            return await self._receiver.answer(self._process, request)

        return httpx.AsyncClient(transport=httpx.MockTransport(handle), trust_env=False, verify=False)
