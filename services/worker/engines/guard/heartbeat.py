"""Waiting for the fallback without seeming to hang."""

import asyncio

from services.worker.engines.engine import Fallback, PageFailure, PageImage, PageText

# Far below any setting of PAGE_SECONDS that makes sense.
SIGN_SECONDS = 1.0


async def with_signs(page: PageImage, fallback: Fallback, instead_of: str) -> PageText | PageFailure:
    """The fallback's answer. It keeps its own time, also while it is busy with another page, and can be stopped."""
    answering = asyncio.create_task(fallback.recognise(page, instead_of=instead_of))
    try:
        while not (await asyncio.wait({answering}, timeout=SIGN_SECONDS))[0]:
            page.alive()
        return await answering
    finally:
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)
