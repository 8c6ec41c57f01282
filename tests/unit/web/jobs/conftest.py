"""The routes of jobs over a store in memory."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from libs.internal_token import InternalToken
from libs.storage.store import ObjectStore
from services.serving.queue_identity import SharedSecret
from services.web.auth.configured import configured_identity
from services.web.config import WebConfig
from tests.inprocess import ClientInProcess, in_process, outward_client

Serve = Callable[..., ClientInProcess]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Makes clients of web over a store; settings by name."""
    async with AsyncExitStack() as stack:
        outward = await stack.enter_async_context(outward_client())

        def made(store: ObjectStore, **settings: object) -> ClientInProcess:
            config = WebConfig(**settings)  # type: ignore[arg-type]
            return in_process(
                config,
                store=store,
                identity=configured_identity(config, store=store, client=outward),
                queue_identity=SharedSecret(InternalToken("s" * 40)),
                outward=outward,
            )

        yield made
