"""Leases: one holder at a time, judged by the storage's clock alone."""

import asyncio

import pytest

from libs.jobstate.lease import HeldLease, LeaseLost, LeaseState, decode, take
from libs.jobstate.outcome import BriefOutcome, OutcomeStatus
from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles
from tests.clock import StorageClock

DONE = {1: BriefOutcome(status=OutcomeStatus.COMPLETED, run=1)}


async def claim(files: SessionFiles, holder: str, *, run: int = 1) -> HeldLease | None:
    return await take(files, "0001", run=run, holder=holder, seconds=60, pages=(1, 2))


async def claimed(files: SessionFiles, holder: str, *, run: int = 1) -> HeldLease:
    lease = await claim(files, holder, run=run)
    assert lease is not None
    return lease


async def test_of_many_that_try_at_once_one_gets_the_lease(files: SessionFiles) -> None:
    found = await asyncio.gather(*(claim(files, f"worker-{n}") for n in range(20)))
    assert sum(lease is not None for lease in found) == 1


async def test_expired_lease_is_reclaimed_by_the_next_worker(files: SessionFiles, clock: StorageClock) -> None:
    first = await claimed(files, "first")
    clock.wait(60)
    assert await claim(files, "second") is None
    clock.wait(1)
    second = await claimed(files, "second")
    assert (second.lease.attempt, second.lease.suspicious) == (2, True)
    for write in (first.renew(), first.finish(DONE), first.release()):
        with pytest.raises(LeaseLost):
            await write


async def test_renewed_lease_does_not_expire(files: SessionFiles, clock: StorageClock) -> None:
    first = await claimed(files, "first")
    for _ in range(5):
        clock.wait(50)
        await first.renew()
    assert await claim(files, "second") is None


async def test_lease_given_back_is_free_at_once_and_casts_no_suspicion(files: SessionFiles) -> None:
    await (await claimed(files, "first")).release()
    second = await claimed(files, "second")
    assert not second.lease.suspicious


async def test_finished_lease_is_never_taken_in_its_run_but_in_the_next(
    files: SessionFiles, clock: StorageClock
) -> None:
    await (await claimed(files, "first")).finish(DONE)
    clock.wait(1000)
    assert await claim(files, "second") is None
    assert (await claimed(files, "second", run=2)).lease.attempt == 1
    assert await claim(files, "late", run=1) is None


async def test_page_alone_in_hand_of_a_suspicious_holder_that_dies_is_blamed(
    files: SessionFiles, clock: StorageClock
) -> None:
    await (await claimed(files, "first")).renew(in_hand=[2])
    clock.wait(61)
    second = await claimed(files, "second")
    assert second.lease.deaths == {}, "the first holder read pages together: its renewal proves nothing"
    for deaths in (1, 2, 3):
        await second.renew(in_hand=[2])
        clock.wait(61)
        second = await claimed(files, f"next-{deaths}")
        assert second.lease.deaths == {2: deaths}


async def test_page_that_breaks_the_engine_is_blamed_when_the_lease_is_given_back(files: SessionFiles) -> None:
    await (await claimed(files, "first")).break_off(guilty=1)
    second = await claimed(files, "second")
    assert (second.lease.deaths, second.lease.suspicious) == ({1: 1}, True)


async def test_engine_that_broke_down_on_one_of_several_pages_makes_the_next_holder_read_them_singly(
    files: SessionFiles,
) -> None:
    await (await claimed(files, "first")).break_off(guilty=None)
    second = await claimed(files, "second")
    assert (second.lease.deaths, second.lease.suspicious) == ({}, True)


async def test_write_whose_answer_was_lost_is_recognised_as_our_own(files: SessionFiles) -> None:
    class Forgetful(MemoryStore):
        """Writes, and then reports a conflict, as a retried upload does."""

        forget = False

        async def write(self, path, data, *, if_generation=None):  # type: ignore[no-untyped-def]
            generation = await super().write(path, data, if_generation=if_generation)
            if self.forget:
                self.forget = False
                await super().write(path, data, if_generation=if_generation)
            return generation

    store = Forgetful()
    lost = SessionFiles(store=store, user_hash=files.user_hash, session_id=files.session_id)
    store.forget = True
    first = await claimed(lost, "first")
    store.forget = True
    await first.renew(in_hand=[1])
    await first.finish(DONE)
    stored = decode((await store.read(lost.path("batches/0001.json"))).data)
    assert (stored.state, stored.holder) == (LeaseState.FINISHED, "first")


async def test_cancelled_renewal_does_not_cost_the_lease(files: SessionFiles) -> None:
    first = await claimed(files, "first")
    path = files.path("batches/0001.json")
    stored = await files.store.read(path)
    # The write reached the store, but its caller was cancelled before it learnt the generation.
    await files.store.write(path, stored.data, if_generation=stored.generation)
    await first.finish(DONE)
