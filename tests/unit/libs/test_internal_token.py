"""The secret that the services of one installation share when none is configured."""

import asyncio

import pytest

from libs.internal_token import internal_token
from libs.storage.errors import TooFast
from libs.storage.memory import MemoryStore


async def test_services_that_start_together_have_one_secret() -> None:
    store = MemoryStore()
    found = await asyncio.gather(*(internal_token(store, "") for _ in range(8)))
    assert len(set(found)) == 1


async def test_service_that_comes_a_moment_after_another_waits_for_the_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    class OneASecond(MemoryStore):
        """Refuses the first write, for pace."""

        refused = 0

        async def write(self, path, data, *, if_generation=None):  # type: ignore[no-untyped-def]
            if not self.refused:
                self.refused += 1
                raise TooFast(path)
            return await super().write(path, data, if_generation=if_generation)

    monkeypatch.setattr("libs.storage.pace.PAUSE_SECONDS", 0.0)
    store = OneASecond()
    assert await internal_token(store, "") == await internal_token(store, "")
    assert store.refused == 1
