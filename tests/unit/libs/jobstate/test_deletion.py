"""A deleted session stays deleted, whatever is written late and wherever the deletion breaks off."""

from datetime import datetime, timedelta

import msgspec
import pytest

from libs.jobstate import deletion
from libs.jobstate.active import announce
from libs.jobstate.commit import commit, create
from libs.storage import layout
from libs.storage.errors import Unavailable
from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles, validate_session
from tests.clock import StorageClock
from tests.jobs import opened

OWNER = "ada@example.org"


class RecordingStore(MemoryStore):
    """Keeps the order of writes and deletions; the deletion of `unavailable` fails."""

    def __init__(self, clock: StorageClock) -> None:
        super().__init__(clock)
        self.calls: list[str] = []
        self.unavailable = ""

    async def write(self, path: str, *arguments, **options):  # type: ignore[no-untyped-def]
        self.calls.append(f"write {path.split('/')[0]}")
        return await super().write(path, *arguments, **options)

    async def delete(self, path: str, *, if_generation: int | None = None) -> None:
        if path.endswith(self.unavailable or "\0"):
            raise Unavailable(path)
        await super().delete(path, if_generation=if_generation)
        self.calls.append(f"delete {path.split('/')[0]} {path.rpartition('/')[2]}")


@pytest.fixture
async def files(clock: StorageClock) -> SessionFiles:
    store = RecordingStore(clock)
    files = SessionFiles(store=store, user_hash=layout.user_hash(OWNER), session_id="0" * 32)
    await announce(files, run=1)
    for name in (layout.INTAKE, layout.PAGE_IMAGE.format(1), layout.RECORD, layout.PART.format(0)):
        await store.write(files.path(name), b"{}")
    store.calls.clear()
    return files


async def left(files: SessionFiles) -> list[str]:
    return [stat.path async for stat in files.store.list("")]


async def test_tombstone_comes_first_then_the_record_and_the_index_last(files: SessionFiles) -> None:
    await deletion.delete(files)
    assert isinstance(files.store, RecordingStore)
    calls = files.store.calls
    assert calls[:2] == ["write tombstones", f"delete users {layout.RECORD}"]
    assert calls[-1] == f"delete active {files.session_id}"
    assert await left(files) == [files.tombstone_path]


async def test_session_is_deleted_from_the_tombstone_on_though_its_files_are_still_there(files: SessionFiles) -> None:
    assert not await files.is_deleted()
    assert isinstance(files.store, RecordingStore)
    files.store.unavailable = layout.RECORD
    with pytest.raises(Unavailable):
        await deletion.delete(files)
    assert await files.is_deleted()
    assert files.active_path in await left(files), "the sweep has to find what is left"
    with pytest.raises(Exception, match="deleted"):
        await validate_session(files.store, OWNER, files.session_id)


async def test_late_writes_are_removed_and_the_tombstone_outlasts_them(
    files: SessionFiles, clock: StorageClock
) -> None:
    await deletion.delete(files)
    tombstone = await files.store.stat(files.tombstone_path)
    clock.now += deletion.LATE_WRITES
    await files.store.write(files.path(layout.PAGE_OUTCOME.format(1)), b"{}")
    await deletion.bury(files.store, tombstone)
    assert await left(files) == [], "nothing can come any more"


async def test_tombstone_stays_while_a_late_write_may_come(files: SessionFiles, clock: StorageClock) -> None:
    await deletion.delete(files)
    tombstone = await files.store.stat(files.tombstone_path)
    clock.now += deletion.LATE_WRITES - timedelta(seconds=1)
    await deletion.bury(files.store, tombstone)
    assert await left(files) == [files.tombstone_path]


async def test_an_object_that_is_no_tombstone_is_refused(files: SessionFiles) -> None:
    await files.store.write(f"{layout.TOMBSTONES}no/such/name", b"")
    with pytest.raises(ValueError, match="values to unpack"):
        await deletion.bury(files.store, await files.store.stat(f"{layout.TOMBSTONES}no/such/name"))


async def kept_job(store: MemoryStore, at: datetime, *, ended: bool) -> SessionFiles:
    """A job that was made and last changed at `at`."""
    session_id = f"{int(at.timestamp() * 1000):012x}{'0' * 20}"
    files = SessionFiles(store=store, user_hash=layout.user_hash(OWNER), session_id=session_id)
    job = msgspec.structs.replace(opened(), session_id=session_id, updated_at=at)
    await create(files, job.cancel(at) if ended else job)
    return files


async def test_jobs_are_deleted_when_they_have_ended_long_ago_and_no_others(clock: StorageClock) -> None:
    store = MemoryStore(clock)
    old, running, young = [
        await kept_job(store, clock.now - timedelta(days=days), ended=ended)
        for days, ended in ((31, True), (32, False), (29, True))
    ]
    assert [files.session_id for files in await deletion.delete_expired(store, timedelta(days=30))] == [old.session_id]
    assert await old.is_deleted()
    assert {stat.path async for stat in store.list(layout.USERS)} == {running.record_path, young.record_path}


async def test_job_that_ended_lately_is_kept_however_long_ago_it_was_made(clock: StorageClock) -> None:
    store = MemoryStore(clock)
    files = await kept_job(store, clock.now - timedelta(days=100), ended=False)
    await commit(files, lambda job: job.cancel(clock.now - timedelta(days=1)))
    assert await deletion.delete_expired(store, timedelta(days=30)) == []


async def test_folder_that_is_no_session_keeps_no_job_from_being_deleted(clock: StorageClock) -> None:
    store = MemoryStore(clock)
    files = await kept_job(store, clock.now - timedelta(days=100), ended=True)
    await store.write(f"{layout.user_prefix(files.user_hash)}$RECYCLE.BIN/file", b"")
    assert await deletion.delete_expired(store, timedelta(days=30)) == [files]


async def test_job_whose_record_cannot_be_read_is_kept(clock: StorageClock) -> None:
    store = MemoryStore(clock)
    files = await kept_job(store, clock.now - timedelta(days=100), ended=True)
    await store.write(files.record_path, b"torn")
    assert await deletion.delete_expired(store, timedelta(days=30)) == []


def test_job_that_runs_has_no_time_of_expiry() -> None:
    job = opened()
    assert deletion.expires_at(job, timedelta(days=1)) is None
    ended = job.cancel(job.updated_at)
    assert deletion.expires_at(ended, timedelta(days=1)) == ended.updated_at + timedelta(days=1)
    assert deletion.expires_at(ended, None) is None
