"""Writes wait while an object was written a moment ago."""

from datetime import UTC, datetime

import pytest

from libs.jobstate.lease import take
from libs.storage.errors import TooFast
from libs.storage.memory import MemoryStore
from libs.storage.pace import ATTEMPTS, write_paced
from libs.storage.session import SessionFiles


class Busy(MemoryStore):
    """Refuses the first writes of each object's version, a given number of them."""

    def __init__(self, refusals: int) -> None:
        super().__init__(lambda: datetime(2026, 1, 1, tzinfo=UTC))
        self._refusals = refusals
        self.refused = 0

    async def write(self, path, data, *, if_generation=None):  # type: ignore[no-untyped-def]
        if self.refused < self._refusals:
            self.refused += 1
            raise TooFast(path)
        self.refused = 0
        return await super().write(path, data, if_generation=if_generation)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("libs.storage.pace.PAUSE_SECONDS", 0.0)


async def test_write_that_came_too_fast_is_tried_again() -> None:
    store = Busy(refusals=2)
    generation = await write_paced(store, "a", b"1", if_generation=0)
    assert (await store.stat("a")).generation == generation


async def test_store_that_never_takes_the_write_is_told_to_the_caller() -> None:
    with pytest.raises(TooFast):
        await write_paced(Busy(refusals=ATTEMPTS), "a", b"1")


async def test_lease_is_renewed_although_it_was_written_a_moment_ago() -> None:
    files = SessionFiles(store=Busy(refusals=1), user_hash="a" * 12, session_id="0" * 32)
    lease = await take(files, "0001", run=1, holder="worker", seconds=60, pages=(1, 2))
    assert lease is not None
    await lease.renew(in_hand=[1])
    await lease.renew(in_hand=[2])
    assert lease.lease.in_hand == (2,)
