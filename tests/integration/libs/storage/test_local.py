"""What only a real disk and real processes can show of the local store."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from libs.storage.disk import _make_folders, translated
from libs.storage.errors import Forbidden, NotFound, OutOfSpace, StorageError, Unavailable
from libs.storage.local import LocalStore
from tests import ROOT

PATH = "users/0123456789ab/session/processing.json"
MIB = 1 << 20

INCREMENT = """
import asyncio, sys
from pathlib import Path
from libs.storage.errors import PreconditionFailed
from libs.storage.local import LocalStore

async def main(root, path, rounds):
    store = LocalStore(Path(root))
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(int(rounds)):
        while True:
            stored = await store.read(path)
            try:
                await store.write(path, str(int(stored.data) + 1).encode(), if_generation=stored.generation)
            except PreconditionFailed:
                continue
            break

asyncio.run(main(*sys.argv[1:]))
"""

STALL = """
import asyncio, sys
from pathlib import Path
from libs.storage.local import LocalStore

async def chunks():
    yield b"n" * (3 << 20)
    print("half-way", flush=True)
    await asyncio.Event().wait()

asyncio.run(LocalStore(Path(sys.argv[1])).write(sys.argv[2], chunks()))
"""

REWRITE = """
import asyncio, itertools, sys
from pathlib import Path
from libs.storage.local import LocalStore

async def main(root, path):
    store = LocalStore(Path(root))
    for number in itertools.count():
        await store.write(path, bytes([97 + number % 26]) * (1 << 20))
        print(number, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""

FILL = """
import asyncio, resource, sys
from pathlib import Path
from libs.storage.errors import OutOfSpace
from libs.storage.local import LocalStore

async def chunks():
    for _ in range(8):
        yield b"n" * (1 << 20)

async def main(root, path):
    store = LocalStore(Path(root))
    # The one way to have a full disk without being root: a limit on the size of this process's files.
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, 2 << 20))
    for data in (b"n" * (8 << 20), chunks()):
        try:
            await store.write(path, data)
        except OutOfSpace:
            print("out of space", flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "storage"


@pytest.fixture
def store(root: Path) -> LocalStore:
    return LocalStore(root)


def start(program: str, *arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL


def said(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def paths(store: LocalStore, prefix: str = "") -> list[str]:
    return [stat.path async for stat in store.list(prefix)]


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_compare_and_set_between_processes_loses_no_increment(root: Path, store: LocalStore) -> None:
    count, rounds = 3, 40
    await store.write(PATH, b"0")
    processes = [start(INCREMENT, root, PATH, rounds) for _ in range(count)]
    # All begin together, or the first would be through before the last has loaded.
    assert [said(process) for process in processes] == [b"ready"] * count
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    for process in processes:
        await asyncio.to_thread(process.communicate, timeout=120)
    assert [process.returncode for process in processes] == [0] * count
    assert int((await store.read(PATH)).data) == count * rounds


async def test_a_writer_killed_half_way_leaves_the_old_object_whole(root: Path, store: LocalStore) -> None:
    generation = await store.write(PATH, b"old")
    process = start(STALL, root, PATH)
    assert said(process) == b"half-way"
    kill(process)
    stored = await store.read(PATH)
    assert (stored.data, stored.generation) == (b"old", generation)
    assert await paths(store) == [PATH]
    await store.write(PATH, b"new", if_generation=generation)
    assert (await store.read(PATH)).data == b"new"


async def test_a_writer_killed_at_any_moment_leaves_a_whole_object(root: Path, store: LocalStore) -> None:
    for written in range(1, 7):
        process = start(REWRITE, root, PATH)
        for _ in range(written):
            said(process)
        kill(process)
        data = (await store.read(PATH)).data
        assert len(data) == MIB
        assert len(set(data)) == 1
        assert await paths(store) == [PATH]


async def test_what_a_killed_writer_left_is_cleared_after_a_day(root: Path, store: LocalStore) -> None:
    process = start(STALL, root, PATH)
    assert said(process) == b"half-way"
    kill(process)
    (leftover,) = files_below(root / ".tmp")
    assert await store.clear_temporary() == 0
    day_ago = time.time() - timedelta(days=1, minutes=1).total_seconds()
    os.utime(leftover, (day_ago, day_ago))
    assert await store.clear_temporary() == 1
    assert files_below(root / ".tmp") == []


async def test_a_full_disk_is_out_of_space_and_keeps_the_old_object(root: Path, store: LocalStore) -> None:
    await store.write(PATH, b"old")
    output, _ = start(FILL, root, PATH).communicate(timeout=60)
    assert output.split(b"\n") == [b"out of space", b"out of space", b""]
    assert (await store.read(PATH)).data == b"old"
    assert files_below(root / ".tmp") == []


@pytest.mark.parametrize(
    ("number", "writing", "expected"),
    [
        (errno.ENOSPC, True, OutOfSpace),
        (errno.EDQUOT, True, OutOfSpace),
        (errno.EROFS, True, Unavailable),
        (errno.EACCES, True, Unavailable),
        (errno.EIO, True, Unavailable),
        (errno.EIO, False, Unavailable),
        (errno.EMFILE, False, Unavailable),
        (errno.ENOENT, False, NotFound),
        (errno.ENOTDIR, False, NotFound),
        (errno.ENAMETOOLONG, False, NotFound),
        (errno.ENOTDIR, True, Forbidden),
    ],
)
def test_errors_of_the_system_become_those_of_the_storage(
    number: int, writing: bool, expected: type[StorageError]
) -> None:
    with pytest.raises(expected), translated(PATH, writing=writing):
        raise OSError(number, os.strerror(number))


def test_an_unknown_error_of_the_system_is_not_hidden() -> None:
    with pytest.raises(OSError, match="Invalid"), translated(PATH):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


async def test_an_object_in_the_way_of_a_folder_is_forbidden(store: LocalStore) -> None:
    await store.write("users/a", b"object")
    with pytest.raises(Forbidden):
        await store.write("users/a/b", b"below it")
    await store.write("users/c/d", b"object")
    with pytest.raises(Forbidden):
        await store.write("users/c", b"in place of its folder")
    assert await paths(store) == ["users/a", "users/c/d"]


async def test_generations_rise_although_the_clock_went_back(root: Path, store: LocalStore) -> None:
    await store.write(PATH, b"old")
    future = time.time_ns() + 3_600 * 10**9
    os.utime(root / PATH, ns=(future, future))
    ahead = (await store.stat(PATH)).generation
    overwritten = await store.write(PATH, b"new")
    assert overwritten > ahead
    await store.delete(PATH)
    assert await store.write(PATH, b"again", if_generation=0) > overwritten


async def test_an_open_reader_keeps_the_old_generation(store: LocalStore) -> None:
    generation = await store.write(PATH, b"o" * 3 * MIB)
    async with store.open_read(PATH) as opened:
        await store.write(PATH, b"new")
        await store.delete(PATH)
        assert opened.stat.generation == generation
        assert b"".join([chunk async for chunk in opened.chunks]) == b"o" * 3 * MIB


async def test_deleting_the_last_object_removes_its_empty_folders(root: Path, store: LocalStore) -> None:
    await store.write(PATH, b"")
    await store.write("users/other", b"")
    await store.delete(PATH)
    assert [path.name for path in (root / "users").iterdir()] == ["other"]
    await store.delete("users/other")
    assert sorted(path.name for path in root.iterdir()) == [".locks", ".tmp"]


async def test_a_write_outlasts_deletions_that_take_its_folder_away(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Path] = []

    def make_and_lose(folder: Path, root: Path) -> list[Path]:
        made = _make_folders(folder, root)
        if folder == (store._root / PATH).parent and len(taken) < 5:
            taken.append(folder)
            folder.rmdir()
        return made

    monkeypatch.setattr("libs.storage.disk._make_folders", make_and_lose)
    await store.write(PATH, b"here")
    assert len(taken) == 5
    assert (await store.read(PATH)).data == b"here"


async def test_writers_and_deleters_race_for_one_folder_without_a_fault(root: Path) -> None:
    async def come_and_go(store: LocalStore, number: int) -> None:
        for _ in range(60):
            await store.write(f"users/a/b/{number}", b"here")
            await store.delete(f"users/a/b/{number}")

    stores = [LocalStore(root) for _ in range(2)]
    await asyncio.gather(*(come_and_go(stores[number % 2], number) for number in range(10)))
    assert await paths(stores[0]) == []


async def test_folders_are_for_this_user_only(root: Path, store: LocalStore) -> None:
    await store.write(PATH, b"")
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    assert len(folders) == 6
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}


async def test_only_plain_files_are_objects(root: Path, store: LocalStore) -> None:
    await store.write("users/a/file", b"")
    outside = root.parent / "outside"
    outside.write_bytes(b"secret")
    (root / "users/a/link").symlink_to(outside)
    os.mkfifo(root / "users/a/pipe")
    (root / "users/a/empty").mkdir()
    assert await paths(store) == ["users/a/file"]
    assert [name async for name in store.children("users/a/")] == []
    for name in ("link", "pipe", "empty"):
        with pytest.raises(NotFound):
            await store.read(f"users/a/{name}")
        with pytest.raises(NotFound):
            await store.stat(f"users/a/{name}")


@pytest.mark.parametrize("depth", [1, 2])
async def test_no_link_to_a_folder_is_followed(root: Path, store: LocalStore, depth: int) -> None:
    outside = root.parent / "outside"
    (outside / "b").mkdir(parents=True)
    secret = outside / "b" / "secret"
    secret.write_bytes(b"secret")
    (root / "users").mkdir()
    if depth == 1:
        (root / "users/a").symlink_to(outside)
    else:
        (root / "users/a").mkdir()
        (root / "users/a/b").symlink_to(outside / "b")
    for call in (store.read, store.stat, store.delete):
        with pytest.raises(NotFound):
            await call("users/a/b/secret")
    for name in ("secret", "new", "new/deep"):
        with pytest.raises(Forbidden):
            await store.write(f"users/a/b/{name}", b"ours")
    assert [stat async for stat in store.list("users/a/b/")] == []
    assert [name async for name in store.children("users/a/")] == []
    assert list((outside / "b").iterdir()) == [secret]
    assert secret.read_bytes() == b"secret"
    assert list((root / ".tmp").iterdir()) == []


async def test_the_root_itself_may_be_a_link(root: Path) -> None:
    (root.parent / "disk").mkdir()
    root.symlink_to(root.parent / "disk")
    store = LocalStore(root)
    await store.write(PATH, b"here")
    assert (await store.read(PATH)).data == b"here"
    assert await paths(store) == [PATH]


async def test_files_are_for_this_user_only(root: Path, store: LocalStore) -> None:
    await store.write(PATH, b"")
    files = [path for path in root.rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


async def test_hidden_files_of_others_are_listed(root: Path, store: LocalStore) -> None:
    await store.write("users/.hidden", b"")
    assert await paths(store) == ["users/.hidden"]


async def test_the_store_recovers_when_its_directory_is_emptied(root: Path, store: LocalStore) -> None:
    await store.write(PATH, b"old")
    for path in sorted(root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    root.rmdir()
    assert await paths(store) == []
    await store.write(PATH, b"new", if_generation=0)
    assert (await store.read(PATH)).data == b"new"


async def test_a_cancelled_call_leaves_no_open_file_behind(store: LocalStore) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b"x" * MIB

    async def read() -> None:
        async with store.open_read("users/source") as opened:
            async for _ in opened.chunks:
                pass

    async def write() -> None:
        await store.write(PATH, chunks())

    await store.write("users/source", chunks())
    before = len(list(Path("/dev/fd").iterdir()))
    for steps in range(12):
        for call in (read, write):
            task = asyncio.create_task(call())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    assert len(list(Path("/dev/fd").iterdir())) == before
    assert files_below(store._temporary) == []
