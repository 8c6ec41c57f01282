"""Answers that are sent in pieces, whole."""

from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec

from services.web.outputs.page import PageDocument


async def pages_of(pages: Iterable[PageDocument]) -> AsyncIterator[PageDocument]:
    """The pages one after the other, as the doors read them."""
    for page in pages:
        yield page


async def whole(pieces: AsyncIterator[bytes]) -> Any:
    """The JSON that the pieces make up."""
    return msgspec.json.decode(b"".join([piece async for piece in pieces]))
