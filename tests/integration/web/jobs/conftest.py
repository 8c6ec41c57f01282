"""Fixtures of the tests of jobs."""

from collections.abc import AsyncIterator

import pytest

from libs.storage.memory import MemoryStore
from tests.integration.web.jobs.results import Results, served


@pytest.fixture
async def results() -> AsyncIterator[Results]:
    async with served(MemoryStore()) as found:
        yield found
