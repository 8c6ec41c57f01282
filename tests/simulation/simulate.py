"""One seed from its beginning to its end."""

import msgspec

from tests.simulation.fairness import EVERY, unfair
from tests.simulation.loop import Standstill, VirtualLoop, deterministic, end
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
    if not broken and seed % EVERY == 0 and (found := unfair(seed)):
        broken.append(found)
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
