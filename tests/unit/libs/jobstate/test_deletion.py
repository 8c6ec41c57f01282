"""A deleted session stays deleted, whatever is written late and wherever the deletion breaks off."""

from datetime import timedelta

import pytest

from libs.jobstate import deletion
from libs.jobstate.active import announce
from libs.storage import layout
from libs.storage.errors import Unavailable
from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles, validate_session
from tests.clock import StorageClock

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
