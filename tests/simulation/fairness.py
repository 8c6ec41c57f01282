"""Who waits for whom, in fair weather: the pages of one user beside the jobs of others, against an equal share.

An equal share gives each of n users one n-th of the renderer and of the engines from the moment at which the document
is uploaded. No user may wait longer than twice that, plus `Crowd.slack`: a page in hand and the looks at the index.
"""

import asyncio
import math
import random

import msgspec

from bench.state import queues
from libs.jobstate.neighbours import LEAST_SECONDS
from services.web.config import WebConfig
from tests.simulation.installation import Installation, in_virtual_time
from tests.simulation.script import PageScript

#: Twice an equal share: requirement R72.
MOST = 2.0
#: Every how many seeds a crowd is simulated: each costs as much as some worlds.
EVERY = 20
#: Virtual seconds after which a document that is not read counts as never read.
PATIENCE_SECONDS = 3600.0
#: Virtual seconds after which the crowd's jobs are at work.
SETTLED_SECONDS = 30.0
#: How many jobs each of twenty users has in `figure`.
MANY = 8


class Crowd(msgspec.Struct, frozen=True, kw_only=True):
    """Users with many jobs each, and one who has a document of `pages` pages."""

    workers: int = 1
    users: int = 1
    jobs: int = 8
    extra_children: int = 2
    #: Of the one user's document.
    pages: int = 1
    #: Seconds that any page is read for, and drawn for.
    seconds: float = 2.0
    draw_seconds: float = 0.05

    @property
    def slack(self) -> float:
        """Seconds by which a wait may be longer than `MOST` shares.

        At each of the two stages the page in hand is ended, the index is looked at, and another guest works for
        `LEAST_SECONDS` at least.
        """
        look_seconds = WebConfig(running_in_cloud=True).look_seconds
        return self.seconds + self.draw_seconds + 2 * (look_seconds + LEAST_SECONDS)

    def share(self, alone: float) -> float:
        """Seconds until the one user's document is read with an equal share, where it takes `alone` without others."""
        used = self.pages * (self.draw_seconds + self.seconds / min(self.workers, self.pages))
        return alone + self.users * used


def draw(rng: random.Random) -> Crowd:
    """Make up a crowd whose pages take their time at one of the two stages."""
    seconds, draw_seconds = rng.choice(((2.0, 0.02), (0.1, 1.0)))
    return Crowd(
        workers=rng.choice((1, 1, 2)),
        users=rng.choice((1, 2, 3)),
        jobs=rng.choice((4, 8)),
        extra_children=rng.choice((0, 2)),
        pages=rng.choice((1, 10)),
        seconds=seconds,
        draw_seconds=draw_seconds,
    )


def waited(crowd: Crowd, seed: int) -> tuple[float, float]:
    """Seconds until the one user's document is read: beside the crowd, and with an equal share."""

    async def live(*, beside: bool, within: float) -> float:
        rng = random.Random(f"crowd {seed}")
        place = Installation(
            workers=crowd.workers, queues=queues(crowd.workers), seed=seed, extra_children=crowd.extra_children
        )
        if beside:
            for user in list(range(crowd.users)) * crowd.jobs:
                await place.upload(f"user{user}@many.example", _document(crowd, rng, pages=300))
            await asyncio.sleep(SETTLED_SECONDS + rng.uniform(0, 10))
        clock = asyncio.get_running_loop().time
        began = clock()
        session = await place.upload("one@example.org", _document(crowd, rng, pages=crowd.pages))
        try:
            async with asyncio.timeout(within):
                await asyncio.gather(*(place.read(session, page_no) for page_no in range(1, crowd.pages + 1)))
        except TimeoutError:
            return math.inf
        return max(place.read_at[session].values()) - began

    share = crowd.share(in_virtual_time(seed, lambda: live(beside=False, within=PATIENCE_SECONDS)))
    return in_virtual_time(seed, lambda: live(beside=True, within=PATIENCE_SECONDS)), share


def unfair(seed: int) -> str:
    """What the crowd of this seed shows against the bound; empty where it holds."""
    crowd = draw(random.Random(f"fairness {seed}"))
    seconds, share = waited(crowd, seed)
    if seconds <= MOST * share + crowd.slack:
        return ""
    return f"a user waits {seconds:.0f} s, and an equal share gives {share:.0f} s: {crowd}"


def figure() -> str:
    """One page beside twenty users with many jobs each."""
    crowd = Crowd(users=20, jobs=MANY)
    seconds, share = waited(crowd, 0)
    return (
        f"a page beside 20 users with {MANY} jobs each: read after {seconds:.1f} s, with an equal share after "
        f"{share:.1f} s"
    )


def _document(crowd: Crowd, rng: random.Random, *, pages: int) -> tuple[PageScript, ...]:
    return tuple(
        PageScript(
            seconds=crowd.seconds * rng.uniform(0.75, 1.25), draw_seconds=crowd.draw_seconds * rng.uniform(0.75, 1.25)
        )
        for _ in range(pages)
    )
