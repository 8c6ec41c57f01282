"""The routes of jobs over a store in memory."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from libs.storage.store import ObjectStore
from services.web.config import WebConfig
from tests.inprocess import ClientInProcess, configured, outward_client

Serve = Callable[..., ClientInProcess]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Makes clients of web over a store; settings by name."""
    async with AsyncExitStack() as stack:
        outward = await stack.enter_async_context(outward_client())

        def made(store: ObjectStore, **settings: object) -> ClientInProcess:
            return configured(WebConfig(**settings), store, outward)  # type: ignore[arg-type]

        yield made
