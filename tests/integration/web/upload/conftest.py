"""The service that takes the uploads, in this process."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from services.web.config import WebConfig
from tests.inprocess import ClientInProcess, configured, outward_client


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., ClientInProcess]]:
    """Makes a service over a store; several over one are replicas."""
    async with outward_client() as outward:

        def make(store: Any, **settings: Any) -> ClientInProcess:
            return configured(WebConfig(**settings), store, outward)

        yield make
