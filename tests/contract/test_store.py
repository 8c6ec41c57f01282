"""The contract of `libs.storage.store`, for every backend. A new backend needs an entry in BACKENDS."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from libs.storage.errors import Forbidden, NotFound, PreconditionFailed, StorageError
from libs.storage.gcs import GcsStore
from libs.storage.local import LocalStore
from libs.storage.memory import MemoryStore
from libs.storage.store import ObjectStore
from tests.emulators.gcs.server import Emulator

MIB = 1 << 20
PATH = "users/0123456789ab/session/page_001.png"


@asynccontextmanager
async def memory(folder: Path) -> AsyncIterator[ObjectStore]:
    yield MemoryStore()


@asynccontextmanager
async def local(folder: Path) -> AsyncIterator[ObjectStore]:
    yield LocalStore(folder / "storage")


@asynccontextmanager
async def gcs(folder: Path) -> AsyncIterator[ObjectStore]:
    with Emulator() as emulator, pytest.MonkeyPatch.context() as patch:
        emulator.make_bucket("contract")
        patch.setenv("STORAGE_EMULATOR_HOST", emulator.url)
        store = GcsStore("contract")
        yield store
        store.close()


BACKENDS: dict[str, Callable[[Path], AbstractAsyncContextManager[ObjectStore]]] = {
    "memory": memory,
    "local": local,
    "gcs": gcs,
}

OUTSIDE = [
    "",
    "/etc/passwd",
    "..",
    "../secret",
    "users/../../secret",
    "users/./secret",
    "users//secret",
    "users/secret/",
    "users\\..\\secret",
    "users/nul\0byte",
    "users/line\nbreak",
    "users/" + "x" * 256,
    "users/" + "é" * 128,
    "x/" * 600 + "x",
    "users/\ud800",
    ".tmp/secret",
    ".tmp",
    ".locks/00.lock",
    "users/.tmp-secret",
]


@pytest.fixture(params=BACKENDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ObjectStore]:
    async with BACKENDS[request.param](tmp_path) as made:
        yield made


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def broken_stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    raise ConnectionResetError("the sender went away")


async def paths(store: ObjectStore, prefix: str) -> list[str]:
    return [stat.path async for stat in store.list(prefix)]


async def names(store: ObjectStore, prefix: str) -> list[str]:
    return [name async for name in store.children(prefix)]


async def streamed(store: ObjectStore, path: str, start: int = 0, end: int | None = None) -> bytes:
    async with store.open_read(path, start=start, end=end) as opened:
        return b"".join([chunk async for chunk in opened.chunks])


# Reading what was written


async def test_what_is_written_is_read_back_with_its_generation(store: ObjectStore) -> None:
    generation = await store.write(PATH, b"pixels")
    stored = await store.read(PATH)
    assert (stored.data, stored.generation) == (b"pixels", generation)


async def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    generation = await store.write(PATH, b"")
    stat = await store.stat(PATH)
    assert (stat.path, stat.size, stat.generation) == (PATH, 0, generation)
    assert (await store.read(PATH)).data == b""
    assert await streamed(store, PATH) == b""
    assert await paths(store, "users/") == [PATH]


async def test_an_empty_stream_makes_an_empty_object(store: ObjectStore) -> None:
    await store.write(PATH, stream())
    assert (await store.read(PATH)).data == b""


async def test_stat_read_open_and_list_tell_the_same(store: ObjectStore) -> None:
    generation = await store.write(PATH, b"pixels")
    stat = await store.stat(PATH)
    stored = await store.read(PATH)
    assert (stat.path, stat.size, stat.generation) == (PATH, 6, generation)
    assert (stored.generation, stored.updated_at) == (stat.generation, stat.updated_at)
    async with store.open_read(PATH) as opened:
        assert opened.stat == stat
    assert [found async for found in store.list(PATH)] == [stat]


@pytest.mark.parametrize(
    "name", ["rapport été.pdf", "結果 📄.pdf", "a b+c%20d&e#f.pdf", "[1].txt", "x" * 255, "...", "~"]
)
async def test_any_readable_name_holds_an_object(store: ObjectStore, name: str) -> None:
    path = f"users/{name}"
    await store.write(path, name.encode())
    assert (await store.read(path)).data == name.encode()
    assert await paths(store, "users/") == [path]
    assert await paths(store, path) == [path]
    await store.delete(path)
    assert await paths(store, "users/") == []


async def test_a_name_that_begins_another_is_an_object_of_its_own(store: ObjectStore) -> None:
    await store.write("users/a.png", b"1")
    await store.write("users/a.png.txt", b"2")
    assert (await store.read("users/a.png")).data == b"1"
    await store.delete("users/a.png")
    assert (await store.read("users/a.png.txt")).data == b"2"


# Missing objects


async def test_every_call_says_when_there_is_no_such_object(store: ObjectStore) -> None:
    await store.write("users/folder/other", b"")
    for path in ("users/none", "users/folder", "users/folder/other/none", "users/none/none"):
        with pytest.raises(NotFound):
            await store.read(path)
        with pytest.raises(NotFound):
            await streamed(store, path)
        with pytest.raises(NotFound):
            await store.stat(path)
        with pytest.raises(NotFound):
            await store.delete(path)
        with pytest.raises(NotFound):
            await store.delete(path, if_generation=1)


async def test_a_deleted_object_is_gone(store: ObjectStore) -> None:
    await store.write(PATH, b"pixels")
    await store.delete(PATH)
    with pytest.raises(NotFound):
        await store.read(PATH)
    with pytest.raises(NotFound):
        await store.delete(PATH)
    assert await paths(store, "") == []
    assert await names(store, "") == []


async def test_a_deletion_leaves_the_neighbours_alone(store: ObjectStore) -> None:
    await store.write("users/a/one", b"1")
    await store.write("users/a/two", b"2")
    await store.delete("users/a/one")
    assert await paths(store, "") == ["users/a/two"]


# Generations and conditions


async def test_generations_rise_with_every_write(store: ObjectStore) -> None:
    generations = [await store.write(PATH, b"same") for _ in range(20)]
    assert generations == sorted(set(generations))
    assert generations[0] > 0


async def test_a_generation_never_comes_back_after_deletion(store: ObjectStore) -> None:
    seen = []
    for _ in range(20):
        seen.append(await store.write(PATH, b"same"))
        await store.delete(PATH)
    assert seen == sorted(set(seen))


async def test_create_only_creates_once(store: ObjectStore) -> None:
    generation = await store.write(PATH, b"first", if_generation=0)
    with pytest.raises(PreconditionFailed):
        await store.write(PATH, b"second", if_generation=0)
    with pytest.raises(PreconditionFailed):
        await store.write(PATH, stream(b"second"), if_generation=0)
    stored = await store.read(PATH)
    assert (stored.data, stored.generation) == (b"first", generation)


async def test_create_only_creates_again_after_a_deletion(store: ObjectStore) -> None:
    await store.write(PATH, b"first", if_generation=0)
    await store.delete(PATH)
    await store.write(PATH, b"second", if_generation=0)
    assert (await store.read(PATH)).data == b"second"


async def test_a_write_replaces_only_the_generation_it_names(store: ObjectStore) -> None:
    first = await store.write(PATH, b"first")
    second = await store.write(PATH, b"second", if_generation=first)
    for data in (b"late", stream(b"late")):
        with pytest.raises(PreconditionFailed):
            await store.write(PATH, data, if_generation=first)
    stored = await store.read(PATH)
    assert (stored.data, stored.generation) == (b"second", second)


async def test_a_write_to_a_generation_of_a_missing_object_fails(store: ObjectStore) -> None:
    generation = await store.write(PATH, b"first")
    await store.delete(PATH)
    with pytest.raises(PreconditionFailed):
        await store.write(PATH, b"late", if_generation=generation)
    with pytest.raises(NotFound):
        await store.stat(PATH)


async def test_a_deletion_removes_only_the_generation_it_names(store: ObjectStore) -> None:
    first = await store.write(PATH, b"first")
    second = await store.write(PATH, b"second")
    with pytest.raises(PreconditionFailed):
        await store.delete(PATH, if_generation=first)
    assert (await store.read(PATH)).data == b"second"
    await store.delete(PATH, if_generation=second)
    with pytest.raises(NotFound):
        await store.stat(PATH)


async def test_a_writer_that_loses_while_it_streams_changes_nothing(store: ObjectStore) -> None:
    first = await store.write(PATH, b"first")

    async def overtaken() -> AsyncIterator[bytes]:
        yield b"late "
        await store.write(PATH, b"winner")
        yield b"loser"

    with pytest.raises(PreconditionFailed):
        await store.write(PATH, overtaken(), if_generation=first)
    assert (await store.read(PATH)).data == b"winner"


async def test_concurrent_compare_and_set_loses_no_increment(store: ObjectStore) -> None:
    tasks, rounds = 8, 10
    await store.write(PATH, b"0")

    async def increment() -> None:
        for _ in range(rounds):
            while True:
                stored = await store.read(PATH)
                try:
                    await store.write(PATH, str(int(stored.data) + 1).encode(), if_generation=stored.generation)
                except PreconditionFailed:
                    continue
                break

    await asyncio.gather(*(increment() for _ in range(tasks)))
    assert int((await store.read(PATH)).data) == tasks * rounds


async def test_of_many_creators_exactly_one_wins(store: ObjectStore) -> None:
    results = await asyncio.gather(
        *(store.write(PATH, str(n).encode(), if_generation=0) for n in range(16)), return_exceptions=True
    )
    winners = [n for n, result in enumerate(results) if isinstance(result, int)]
    assert len(winners) == 1
    assert all(isinstance(result, int | PreconditionFailed) for result in results)
    stored = await store.read(PATH)
    assert (stored.data, stored.generation) == (str(winners[0]).encode(), results[winners[0]])


async def test_writers_and_deleters_of_one_folder_do_not_disturb_each_other(store: ObjectStore) -> None:
    async def come_and_go(number: int) -> None:
        for _ in range(10):
            await store.write(f"users/a/b/{number}", b"here")
            await store.delete(f"users/a/b/{number}")

    await asyncio.gather(*(come_and_go(number) for number in range(6)))
    assert await paths(store, "") == []


# Streams


async def test_a_large_object_streams_in_and_out(store: ObjectStore) -> None:
    chunks = [bytes([number % 251]) * 70_001 for number in range(75)]
    generation = await store.write(PATH, stream(*chunks))
    whole = b"".join(chunks)
    assert len(whole) > 5 * MIB
    assert (await store.stat(PATH)).size == len(whole)
    async with store.open_read(PATH) as opened:
        received = [chunk async for chunk in opened.chunks]
        assert opened.stat.generation == generation
    assert b"".join(received) == whole
    assert max(map(len, received)) <= 2 * MIB
    assert await streamed(store, PATH, 3 * MIB - 1, 4 * MIB + 1) == whole[3 * MIB - 1 : 4 * MIB + 1]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0, None, b"0123456789"),
        (0, 10, b"0123456789"),
        (3, None, b"3456789"),
        (3, 7, b"3456"),
        (0, 1, b"0"),
        (9, None, b"9"),
        (9, 10, b"9"),
        (5, 5, b""),
        (4, 100, b"456789"),
        (10, None, b""),
        (100, None, b""),
        (100, 200, b""),
    ],
)
async def test_a_range_yields_exactly_its_bytes(
    store: ObjectStore, start: int, end: int | None, expected: bytes
) -> None:
    await store.write(PATH, b"0123456789")
    async with store.open_read(PATH, start=start, end=end) as opened:
        assert opened.stat.size == 10
        assert b"".join([chunk async for chunk in opened.chunks]) == expected


async def test_a_failing_stream_leaves_nothing(store: ObjectStore) -> None:
    with pytest.raises(ConnectionResetError):
        await store.write(PATH, broken_stream(b"x" * MIB, b"y" * MIB))
    with pytest.raises(NotFound):
        await store.read(PATH)
    assert await paths(store, "") == []


async def test_a_failing_stream_keeps_the_old_object(store: ObjectStore) -> None:
    generation = await store.write(PATH, b"old")
    with pytest.raises(ConnectionResetError):
        await store.write(PATH, broken_stream(b"new"))
    stored = await store.read(PATH)
    assert (stored.data, stored.generation) == (b"old", generation)
    assert await paths(store, "") == [PATH]


async def test_a_cancelled_stream_leaves_nothing(store: ObjectStore) -> None:
    begun = asyncio.Event()

    async def stalled() -> AsyncIterator[bytes]:
        yield b"x" * 2 * MIB
        begun.set()
        await asyncio.Event().wait()

    writing = asyncio.create_task(store.write(PATH, stalled()))
    await begun.wait()
    assert await paths(store, "") == []
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert await paths(store, "") == []


async def test_an_open_reader_never_mixes_two_generations(store: ObjectStore) -> None:
    old = b"o" * 3 * MIB
    generation = await store.write(PATH, old)
    received = bytearray()
    # A backend that cannot keep the old generation for its reader may raise, but not continue with the new one.
    with suppress(StorageError):
        async with store.open_read(PATH) as opened:
            assert opened.stat.generation == generation
            await store.write(PATH, b"n" * 4 * MIB)
            async for chunk in opened.chunks:
                received += chunk
            assert received == old
    assert old.startswith(received)
    assert await streamed(store, PATH) == b"n" * 4 * MIB


async def test_a_reader_may_leave_early(store: ObjectStore) -> None:
    await store.write(PATH, b"x" * 3 * MIB)
    async with store.open_read(PATH) as opened:
        async for chunk in opened.chunks:
            assert chunk
            break
    await store.delete(PATH)


async def test_a_reader_sees_an_object_whole_while_it_is_rewritten(store: ObjectStore) -> None:
    size = 300_000
    await store.write(PATH, b"a" * size)

    async def rewrite() -> None:
        for letter in b"bcdefghij":
            await store.write(PATH, bytes([letter]) * size)

    writing = asyncio.create_task(rewrite())
    while not writing.done():
        data = (await store.read(PATH)).data
        assert len(data) == size
        assert len(set(data)) == 1
    await writing


# Listing


async def test_list_is_in_path_order_and_complete(store: ObjectStore) -> None:
    written = [
        "a",
        "a-b/x",
        "a.txt",
        "b/a/deep/er",
        "b/a.txt",
        "b/a0",
        "b/a/x",
        "é",
        "b/Z",
        "z/1",
        "z/10",
        "z/2",
    ]
    for path in reversed(written):
        await store.write(path, b"")
    assert await paths(store, "") == sorted(written)
    assert await paths(store, "b/") == ["b/Z", "b/a.txt", "b/a/deep/er", "b/a/x", "b/a0"]


async def test_list_takes_any_beginning_of_a_path(store: ObjectStore) -> None:
    for path in ("users/ab/1", "users/abc/2", "users/b/3", "users.txt", "other"):
        await store.write(path, b"")
    assert await paths(store, "users/ab") == ["users/ab/1", "users/abc/2"]
    assert await paths(store, "users/ab/") == ["users/ab/1"]
    assert await paths(store, "users") == ["users.txt", "users/ab/1", "users/abc/2", "users/b/3"]
    assert await paths(store, "users/abc/2") == ["users/abc/2"]
    assert await paths(store, "users/abc/2/") == []
    assert await paths(store, "none/") == []


async def test_list_shows_each_write_and_each_deletion_at_once(store: ObjectStore) -> None:
    for number in range(5):
        await store.write(f"users/{number}", b"")
        assert len(await paths(store, "users/")) == number + 1
    for number in range(5):
        await store.delete(f"users/{number}")
        assert len(await paths(store, "users/")) == 4 - number


async def test_objects_may_be_deleted_while_they_are_listed(store: ObjectStore) -> None:
    for number in range(30):
        await store.write(f"users/{number % 3}/{number}", b"")
    seen = 0
    async for stat in store.list("users/"):
        await store.delete(stat.path)
        seen += 1
    assert seen == 30
    assert await paths(store, "") == []


async def test_children_are_the_folders_directly_below(store: ObjectStore) -> None:
    for path in ("users/b/1/x", "users/b/2/y", "users/a/x", "users/a.b/x", "users/file", "active/a/1"):
        await store.write(path, b"")
    assert await names(store, "users/") == sorted(["a", "a.b", "b"], key=lambda name: f"{name}/")
    assert await names(store, "users/b/") == ["1", "2"]
    assert await names(store, "users/b/1/") == []
    assert await names(store, "none/") == []
    assert await names(store, "") == ["active", "users"]


async def test_a_folder_is_gone_with_its_last_object(store: ObjectStore) -> None:
    await store.write("users/a/1", b"")
    await store.write("users/b/1", b"")
    await store.delete("users/a/1")
    assert await names(store, "users/") == ["b"]


# Traversal


@pytest.mark.parametrize("path", OUTSIDE, ids=ascii)
async def test_a_path_that_leads_outside_is_refused_by_every_call(store: ObjectStore, path: str) -> None:
    with pytest.raises(Forbidden):
        await store.read(path)
    with pytest.raises(Forbidden):
        await streamed(store, path)
    with pytest.raises(Forbidden):
        await store.stat(path)
    with pytest.raises(Forbidden):
        await store.write(path, b"")
    with pytest.raises(Forbidden):
        await store.write(path, stream(b""))
    with pytest.raises(Forbidden):
        await store.delete(path)


@pytest.mark.parametrize(
    "prefix", ["/", "/etc/", "../", "users/../../", "users/./", "users//", "..", "a\\", "nul\0", ".tmp/"]
)
async def test_a_prefix_that_leads_outside_is_refused(store: ObjectStore, prefix: str) -> None:
    with pytest.raises(Forbidden):
        await paths(store, prefix)
    with pytest.raises(Forbidden):
        await names(store, prefix)


async def test_children_takes_a_folder_only(store: ObjectStore) -> None:
    with pytest.raises(Forbidden):
        await names(store, "users")


# Time


async def test_an_object_is_stamped_by_the_clock_that_the_store_tells(store: ObjectStore) -> None:
    # File systems and HTTP dates are coarser than the clock, up to a second.
    coarse = timedelta(seconds=1)
    before = await store.now()
    await store.write(PATH, b"pixels")
    after = await store.now()
    stamped = (await store.stat(PATH)).updated_at
    assert before - coarse <= stamped <= after + coarse
    assert before.utcoffset() == stamped.utcoffset() == timedelta(0)


async def test_time_does_not_go_back_between_writes(store: ObjectStore) -> None:
    stamps = []
    for _ in range(10):
        await store.write(PATH, b"pixels")
        stamps.append((await store.stat(PATH)).updated_at)
    assert stamps == sorted(stamps)
