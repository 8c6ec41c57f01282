"""A session's files in memory, and the storage's clock."""

import pytest

from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles
from tests.clock import StorageClock


@pytest.fixture
def clock() -> StorageClock:
    return StorageClock()


@pytest.fixture
def files(clock: StorageClock) -> SessionFiles:
    return SessionFiles(store=MemoryStore(clock), user_hash="a" * 12, session_id="0" * 32)
