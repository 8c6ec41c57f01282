"""Time slices: which call yields to which job."""

from datetime import UTC, datetime, timedelta

import pytest

from libs.jobstate import active
from libs.jobstate.active import Active, is_woken_since
from libs.jobstate.timeslice import TimeSlice
from libs.storage import layout
from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles
from tests.clock import StorageClock

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


async def job(store: MemoryStore, digit: str, state: Active | None = None, *, user: str = "a") -> SessionFiles:
    """An active job."""
    files = SessionFiles(store=store, user_hash=user * 12, session_id=digit * 32)
    await store.write(layout.active_path(files.user_hash, files.session_id), active.encode(state or Active()))
    return files


async def test_nobody_makes_room_for_himself() -> None:
    store = MemoryStore(StorageClock(NOON))
    own = await job(store, "a")
    await job(store, "b", user="b")  # turns among users are not its business
    turn = TimeSlice(own, NOON, NOON)
    assert not await turn.is_shared()
    assert not await turn.has_newcomer()


@pytest.mark.parametrize(("seconds", "newcomer"), [(-60, False), (-2, True), (60, True)])
async def test_room_is_made_for_who_asked_after_the_task_was_due(seconds: float, newcomer: bool) -> None:
    clock = StorageClock(NOON)
    store = MemoryStore(clock)
    own = await job(store, "a")
    clock.now = NOON + timedelta(seconds=seconds)
    await job(store, "b")
    turn = TimeSlice(own, NOON + timedelta(seconds=90), NOON)
    assert await turn.is_shared()
    assert await turn.has_newcomer() is newcomer


@pytest.mark.parametrize(("waited", "crowded"), [(0, False), (5, False), (6, True)])
async def test_queue_is_crowded_where_tasks_have_to_wait(waited: float, crowded: bool) -> None:
    own = await job(MemoryStore(StorageClock(NOON)), "a")
    turn = TimeSlice(own, NOON + timedelta(seconds=waited), NOON)
    assert (turn.waited, turn.crowded) == (waited, crowded)


async def test_asking_for_a_turn_renews_the_time_and_nothing_else() -> None:
    clock = StorageClock(NOON)
    store = MemoryStore(clock)
    state = Active(run=3, wakes=2)
    own = await job(store, "a", state)
    path = layout.active_path(own.user_hash, own.session_id)
    before = await store.stat(path)
    clock.now = NOON + timedelta(seconds=1)
    await active.request_slice(own)
    assert await store.stat(path) == before, "it has just been written: one write a second"
    clock.now = NOON + timedelta(seconds=30)
    await active.request_slice(own)
    after = await store.read(path)
    assert after.updated_at == clock.now
    assert active.decode(after.data) == state


async def test_tasks_from_before_the_last_waking_end() -> None:
    own = await job(MemoryStore(StorageClock(NOON)), "a", Active(wakes=2))
    assert await is_woken_since(own, 1)
    assert not await is_woken_since(own, 2)
    await own.store.delete(layout.active_path(own.user_hash, own.session_id))
    assert not await is_woken_since(own, 0)
