"""Writing at the pace that one object can take."""

import asyncio
import random

from libs.storage.errors import TooFast
from libs.storage.store import ObjectStore

# One object takes one write a second (Cloud Storage); after a refusal wait a little more than that.
PAUSE_SECONDS = 1.1
LEAST_SECONDS = 0.1
ATTEMPTS = 8


def pause(since: float = 0.0) -> float:
    """Seconds to wait after `TooFast`, spread so that rivals do not come back together.

    `since`: the object was written so many seconds ago, as far as the caller knows.
    """
    spread = random.uniform(0, 0.5)  # noqa: S311 - spreads rivals, guards nothing
    return max(LEAST_SECONDS, PAUSE_SECONDS - max(0.0, since)) + PAUSE_SECONDS * spread


async def write_paced(
    store: ObjectStore, path: str, data: bytes, *, if_generation: int | None = None, written_at: float | None = None
) -> int:
    """`store.write`, which waits and tries again when the object was written a moment ago.

    A refusal for pace says that nothing was written, so the same generation may be named again. `written_at`: when
    the caller wrote it last, by the loop's clock.
    """
    clock = asyncio.get_running_loop().time
    for attempt in range(ATTEMPTS - 1):
        try:
            return await store.write(path, data, if_generation=if_generation)
        except TooFast:
            await asyncio.sleep(pause(0.0 if attempt or written_at is None else clock() - written_at))
    return await store.write(path, data, if_generation=if_generation)
