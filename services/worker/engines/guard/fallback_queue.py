"""Pages on their way to the fallback engine: how many may wait, and how they report progress meanwhile."""

import asyncio

from services.worker.engines.engine import Fallback, PageFailure, PageImage, PageText
from services.worker.engines.guard.permits import Permit, Permits

# Seconds between two calls of `alive`. Chosen: far below any sensible PAGE_SECONDS, after which a page that reports no
# progress counts as a hang and ends the process; each call costs next to nothing.
HEARTBEAT_SECONDS = 1.0


class FallbackQueue:
    """Sends pages to `fallback`; at most `capacity` wait for it or are read by it at a time.

    The model reads on while the fallback, which is slower, has these pages. The capacity keeps them from piling up.
    """

    def __init__(self, fallback: Fallback, capacity: int) -> None:
        self._fallback = fallback
        self._permits = Permits(capacity)

    async def recognise(self, page: PageImage, page_permit: Permit, instead_of: str) -> PageText | PageFailure:
        """The fallback's result for a page that the engine `instead_of` has read or given up.

        Releases `page_permit`, the page's own, once there is room here: the model can then take another page.
        """
        permit = await self._permits.acquire()
        page_permit.release()
        try:
            return await self._with_heartbeat(page, instead_of)
        finally:
            permit.release()

    async def _with_heartbeat(self, page: PageImage, instead_of: str) -> PageText | PageFailure:
        """Report the page alive until its result is there.

        The fallback has a time limit of its own, which may first go to another page; waiting for it is no hang.
        """
        answering = asyncio.create_task(self._fallback.recognise(page, instead_of=instead_of))
        try:
            while not (await asyncio.wait({answering}, timeout=HEARTBEAT_SECONDS))[0]:
                page.alive()
            return await answering
        finally:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)
