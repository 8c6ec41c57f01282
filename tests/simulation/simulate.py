"""One seed from its beginning to its end."""

import asyncio
import gc
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

import msgspec
import structlog

from tests.simulation.loop import Standstill, VirtualLoop
from tests.simulation.process import Died
from tests.simulation.world import World


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """How a seed ended. `broken` is empty when the promise was kept; `story` is what happened."""

    seed: int
    broken: tuple[str, ...]
    seconds: float
    pages: int
    events: int
    story: tuple[str, ...]


def simulate(seed: int, *, whole: bool = False) -> Verdict:
    """Run the world of `seed`; `whole` asks for its whole story even when nothing broke."""
    loop = VirtualLoop()
    with deterministic(seed, loop.time):
        world = loop.run_until_complete(_build(seed))
        broken: list[str] = []
        try:
            loop.run_until_complete(world.run())
        except Standstill:
            broken.append("everything waits for something else")
        finally:
            end(loop)
    broken += world.checker.broken
    told = whole or broken
    return Verdict(
        seed=seed,
        broken=tuple(broken),
        seconds=loop.time(),
        pages=sum(len(facts.job.pages) for facts in world.checker.sessions.values() if facts.job),
        events=len(world.story.events),
        story=tuple(world.story.lines(world.checker.culprit, most=10_000)) if told else (),
    )


async def _build(seed: int) -> World:
    return World(seed)


def end(loop: VirtualLoop) -> None:
    """Let nothing of this seed reach the next."""
    try:
        for _ in range(100):
            tasks = asyncio.all_tasks(loop)
            if not tasks:
                break
            for task in tasks:  # in each round, since the queue may push again what was cancelled
                task.cancel()
            loop.run_until_complete(asyncio.wait(tasks, timeout=1))
    except (Standstill, Died):
        pass
    loop.close()


@contextmanager
def deterministic(seed: int, clock: Callable[[], float]) -> Iterator[None]:
    """Randomness and wall clock from the seed; no garbage collector that would end generators when it likes."""
    rng = random.Random(f"code {seed}")
    random.seed(seed)
    collecting = gc.isenabled()
    gc.disable()
    try:
        with (
            mock.patch("secrets.token_hex", lambda count=32: rng.randbytes(count).hex()),
            mock.patch.object(time, "time_ns", lambda: int((1_767_225_600 + clock()) * 1e9)),
        ):
            yield
    finally:
        structlog.reset_defaults()
        if collecting:
            gc.enable()
