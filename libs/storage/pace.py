"""Writing at the pace that one object can take."""

import asyncio
import random

from libs.storage.errors import TooFast
from libs.storage.store import ObjectStore

# One object takes one write a second (Cloud Storage); after a refusal wait a little more than that.
PAUSE_SECONDS = 1.1
ATTEMPTS = 8


def pause() -> float:
    """Seconds to wait after `TooFast`, spread so that rivals do not come back together."""
    return PAUSE_SECONDS * random.uniform(1, 1.5)  # noqa: S311 - spreads rivals, guards nothing


async def write_paced(store: ObjectStore, path: str, data: bytes, *, if_generation: int | None = None) -> int:
    """`store.write`, which waits and tries again when the object was written a moment ago.

    A refusal for pace says that nothing was written, so the same generation may be named again.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            return await store.write(path, data, if_generation=if_generation)
        except TooFast:
            await asyncio.sleep(pause())
    return await store.write(path, data, if_generation=if_generation)
