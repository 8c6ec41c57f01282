"""Writes at the pace that one object can take."""

import asyncio
import random

from libs.storage.errors import TooFast
from libs.storage.store import ObjectStore

#: Seconds from one write of an object to the next. Cloud Storage takes one a second
#: (https://cloud.google.com/storage/quotas); chosen: a little more.
PAUSE_SECONDS = 1.1
#: Seconds of the shortest pause. Chosen: the caller's clock and the storage's need not agree on the last write.
LEAST_SECONDS = 0.1
#: Writes tried until `TooFast` is raised. Chosen: rivals for one object have mostly written by then.
ATTEMPTS = 8


def pause(since: float = 0.0) -> float:
    """Seconds to wait after `TooFast`, spread so that rivals do not write again together.

    `since`: how many seconds ago the object was written, as far as the caller knows.
    """
    spread = random.uniform(0, 0.5)  # noqa: S311 - spreads rivals, guards nothing
    return max(LEAST_SECONDS, PAUSE_SECONDS - max(0.0, since)) + PAUSE_SECONDS * spread


async def write_paced(
    store: ObjectStore, path: str, data: bytes, *, if_generation: int | None = None, written_at: float | None = None
) -> int:
    """`store.write`, repeated after a pause while the object takes no write.

    After `TooFast` nothing was written, so the same generation may be named again. `written_at`: when the caller wrote
    the object last, by the loop's clock.
    """
    clock = asyncio.get_running_loop().time
    for attempt in range(ATTEMPTS - 1):
        try:
            return await store.write(path, data, if_generation=if_generation)
        except TooFast:
            await asyncio.sleep(pause(0.0 if attempt or written_at is None else clock() - written_at))
    return await store.write(path, data, if_generation=if_generation)
