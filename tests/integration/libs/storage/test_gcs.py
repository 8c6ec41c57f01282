"""The bucket store in bad weather: each fault of the emulator against the unmodified client over a real socket."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import pytest

from libs.storage import gcs as store_module
from libs.storage import retries
from libs.storage.errors import NotFound, PreconditionFailed, StorageError, TooFast, Unavailable
from libs.storage.gcs import BLOCK_BYTES, THREADS, GcsStore
from libs.storage.pace import write_paced
from tests import ROOT
from tests.emulators.gcs.bucket import Bucket
from tests.emulators.gcs.conditions import Conditions
from tests.emulators.gcs.content import Content
from tests.emulators.gcs.faults import Fault
from tests.emulators.gcs.server import Emulator
from tests.waiting import until

MIB = 1 << 20
PATH = "users/0123456789ab/session/page_001.png"
BROKEN = [Fault.UNAVAILABLE, Fault.RESET, Fault.LOST, Fault.DENIED_DONE]


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with Emulator() as emulator:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator.url)
        yield emulator
        assert emulator.faults.waiting == 0, "a fault was ordered that no request met"


@pytest.fixture
def bucket(emulator: Emulator) -> Bucket:
    return emulator.make_bucket("pages")


@pytest.fixture
def store(bucket: Bucket) -> Iterator[GcsStore]:
    store = GcsStore(bucket.name)
    yield store
    store.close()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(retries, "LONGEST_PAUSE_SECONDS", 0.8)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "BLOCK_BYTES", MIB)
    monkeypatch.setattr(store_module, "PIECE_BYTES", MIB)


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def streamed(store: GcsStore, path: str) -> bytes:
    async with store.open_read(path) as opened:
        return b"".join([chunk async for chunk in opened.chunks])


def put(bucket: Bucket, path: str, data: bytes) -> int:
    """What a rival writes."""
    content = Content()
    content.append(data)
    return bucket.put(path, content, Conditions()).generation


def requests(emulator: Emulator, method: str, text: str = "") -> int:
    return sum(call.method == method and text in call.path for call in list(emulator.service.calls))


# Writes whose answer never came


@pytest.mark.parametrize("fault", BROKEN)
async def test_a_creation_survives_a_fault_and_happens_once(
    emulator: Emulator, bucket: Bucket, store: GcsStore, fault: Fault
) -> None:
    emulator.faults.order(fault, method="POST")
    generation = await store.write(PATH, b"pixels", if_generation=0)
    assert bucket.get(PATH).generation == generation
    assert (await store.read(PATH)).data == b"pixels"


@pytest.mark.parametrize("fault", BROKEN)
async def test_a_replacement_survives_a_fault_and_happens_once(
    emulator: Emulator, bucket: Bucket, store: GcsStore, fault: Fault
) -> None:
    first = await store.write(PATH, b"first")
    emulator.faults.order(fault, method="POST")
    generation = await store.write(PATH, b"second", if_generation=first)
    assert bucket.get(PATH).generation == generation
    with pytest.raises(PreconditionFailed):
        await store.write(PATH, b"third", if_generation=first)


async def test_a_write_that_meets_itself_as_too_fast_has_succeeded(emulator: Emulator, store: GcsStore) -> None:
    standing_still = emulator.make_bucket("pages", paced=True, clock=lambda: 1_800_000_000.0)
    emulator.faults.order(Fault.LOST, method="POST")
    generation = await store.write(PATH, b"pixels", if_generation=0)
    assert standing_still.get(PATH).generation == generation


async def test_the_write_of_a_rival_is_not_taken_for_our_own(
    emulator: Emulator, bucket: Bucket, store: GcsStore
) -> None:
    put(bucket, PATH, b"the rival's")
    emulator.faults.order(Fault.RESET, method="POST")
    with pytest.raises(PreconditionFailed):
        await store.write(PATH, b"ours", if_generation=0)
    assert (await store.read(PATH)).data == b"the rival's"


async def test_a_refused_write_without_doubt_asks_no_further(
    emulator: Emulator, bucket: Bucket, store: GcsStore
) -> None:
    put(bucket, PATH, b"the rival's")
    with pytest.raises(PreconditionFailed):
        await store.write(PATH, b"ours", if_generation=0)
    assert requests(emulator, "POST") == 1
    assert requests(emulator, "GET", PATH) == 0


# 429


async def test_a_second_write_within_a_second_is_handed_on_as_too_fast(emulator: Emulator, store: GcsStore) -> None:
    emulator.make_bucket("pages", paced=True, clock=lambda: 1_800_000_000.0)
    await store.write(PATH, b"first")
    with pytest.raises(TooFast):
        await store.write(PATH, b"second")
    assert requests(emulator, "POST") == 2


async def test_a_paced_write_waits_until_the_object_can_take_it(emulator: Emulator, store: GcsStore) -> None:
    emulator.make_bucket("pages", paced=True)
    first = await store.write(PATH, b"first")
    second = await write_paced(store, PATH, b"second", if_generation=first)
    assert (await store.stat(PATH)).generation == second


async def test_a_stream_waits_until_the_object_can_take_it(
    emulator: Emulator, store: GcsStore, small_blocks: None
) -> None:
    for size in (10, 3 * MIB):
        emulator.faults.order(Fault.BUSY, method="PUT" if size > MIB else "POST")
        await store.write(PATH, stream(b"x" * size))
        assert (await store.stat(PATH)).size == size


async def test_a_stream_that_ends_too_fast_ends_a_moment_later(
    emulator: Emulator, store: GcsStore, small_blocks: None
) -> None:
    paced = emulator.make_bucket("pages", paced=True)
    put(paced, PATH, b"a moment ago")
    data = b"x" * (3 * MIB)
    await store.write(PATH, stream(data))
    assert (await store.read(PATH)).data == data


async def test_reads_and_deletions_wait_when_the_bucket_is_busy(emulator: Emulator, store: GcsStore) -> None:
    await store.write(PATH, b"pixels")
    emulator.faults.order(Fault.BUSY, method="GET", text=PATH.rpartition("/")[2], times=2)
    assert (await store.read(PATH)).data == b"pixels"
    emulator.faults.order(Fault.BUSY, method="DELETE")
    await store.delete(PATH)


# Deletions


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("named", [True, False], ids=["generation", "any"])
async def test_a_deletion_survives_a_fault(emulator: Emulator, store: GcsStore, fault: Fault, named: bool) -> None:
    generation = await store.write(PATH, b"pixels")
    emulator.faults.order(fault, method="DELETE")
    await store.delete(PATH, if_generation=generation if named else None)
    with pytest.raises(NotFound):
        await store.stat(PATH)


async def test_a_repeated_deletion_spares_what_was_written_since(
    emulator: Emulator, bucket: Bucket, store: GcsStore
) -> None:
    await store.write(PATH, b"old")
    delete, monkeypatch = bucket.delete, pytest.MonkeyPatch()

    def delete_and_see_it_made_again(name: str, generation: int | None, conditions: Conditions) -> None:
        delete(name, generation, conditions)
        monkeypatch.undo()
        put(bucket, name, b"new")

    monkeypatch.setattr(bucket, "delete", delete_and_see_it_made_again)
    emulator.faults.order(Fault.LOST, method="DELETE")
    await store.delete(PATH)
    assert (await store.read(PATH)).data == b"new"


# Reads


@pytest.mark.parametrize("fault", [*BROKEN, Fault.CUT])
async def test_a_read_survives_a_fault_of_either_of_its_answers(
    emulator: Emulator, store: GcsStore, fault: Fault
) -> None:
    data = bytes(range(256)) * 4096
    await store.write(PATH, data)
    for text in ("/download/", "projection"):
        emulator.faults.order(fault, method="GET", text=text)
        assert (await store.read(PATH)).data == data


async def test_a_refused_read_keeps_its_connection(emulator: Emulator, store: GcsStore) -> None:
    await store.write(PATH, b"pixels")
    emulator.faults.order(Fault.HELD, method="GET", times=2)
    reading = asyncio.create_task(store.read(PATH))
    # A read asks for content and time at once: from now on there is a connection for each.
    await until(lambda: emulator.faults.held == 2)
    emulator.faults.release()
    await reading
    opened = emulator.connections
    emulator.faults.order(Fault.BUSY, method="GET", text="/download/", times=3)
    await store.read(PATH)
    assert emulator.connections == opened


@pytest.mark.parametrize("fault", [*BROKEN, Fault.CUT])
async def test_a_stream_out_survives_faults_at_every_piece(
    emulator: Emulator, store: GcsStore, small_blocks: None, fault: Fault
) -> None:
    data = bytes(range(256)) * (10 * 1024)
    await store.write(PATH, data)
    emulator.faults.order(fault, method="GET", text="/download/", times=3)
    assert await streamed(store, PATH) == data


async def test_a_reader_is_told_when_its_object_was_replaced(
    bucket: Bucket, store: GcsStore, small_blocks: None
) -> None:
    await store.write(PATH, b"o" * 4 * MIB)
    with pytest.raises(Unavailable, match="read it again"):
        async with store.open_read(PATH) as opened:
            put(bucket, PATH, b"n" * 4 * MIB)
            async for chunk in opened.chunks:
                assert set(chunk) == {ord("o")}


async def test_a_damaged_answer_is_never_handed_on(bucket: Bucket, store: GcsStore) -> None:
    await store.write(PATH, b"pixels")
    content = bucket.get(PATH).content
    content._file.seek(2)
    content._file.write(b"?")
    with pytest.raises(Unavailable, match="checksum"):
        await store.read(PATH)


# Streams in


@pytest.mark.parametrize("fault", [*BROKEN, Fault.SHORT, Fault.CUT])
async def test_a_stream_in_survives_a_fault_of_any_of_its_requests(
    emulator: Emulator, bucket: Bucket, store: GcsStore, small_blocks: None, fault: Fault
) -> None:
    blocks = [bytes([number]) * MIB for number in range(3)] + [b"end"]
    for number in range(4):
        path = f"{PATH}.{number}"
        # The request that begins the upload cannot be cut short; each block can.
        method, skipped = ("PUT", number) if fault is Fault.SHORT or number else ("POST", 0)

        async def faulted(method: str = method, skipped: int = skipped) -> AsyncIterator[bytes]:
            for index, block in enumerate(blocks):
                if index == skipped:
                    emulator.faults.order(fault, method=method)
                yield block

        generation = await store.write(path, faulted(), if_generation=0)
        assert bucket.get(path).generation == generation
        assert await streamed(store, path) == b"".join(blocks)
    if fault not in (Fault.SHORT, Fault.CUT):  # of a short answer enough may have come to be whole
        # The service is asked how much it has before anything is sent again.
        assert any(call.headers.get("content-range") == "bytes */*" for call in emulator.service.calls)


async def test_an_upload_whose_end_was_heard_twice_is_one_object(
    emulator: Emulator, bucket: Bucket, store: GcsStore, small_blocks: None
) -> None:
    async def ending() -> AsyncIterator[bytes]:
        yield b"x" * (2 * MIB)
        emulator.faults.order(Fault.LOST, method="PUT", times=2)

    generation = await store.write(PATH, ending(), if_generation=0)
    assert bucket.get(PATH).generation == generation
    assert bucket.get(PATH).metageneration == 1
    assert emulator.faults.happened[Fault.LOST] == 2


async def test_an_upload_whose_session_is_gone_says_so(emulator: Emulator, store: GcsStore, small_blocks: None) -> None:
    async def interrupted() -> AsyncIterator[bytes]:
        yield b"x" * (2 * MIB)
        emulator.service.sessions.clear()
        yield b"x" * (2 * MIB)

    with pytest.raises(Unavailable, match="write the object again"):
        await store.write(PATH, interrupted())
    with pytest.raises(NotFound):
        await store.stat(PATH)


async def test_a_broken_or_cancelled_stream_leaves_no_upload_open(
    emulator: Emulator, store: GcsStore, small_blocks: None
) -> None:
    begun = asyncio.Event()

    async def breaking() -> AsyncIterator[bytes]:
        yield b"x" * (3 * MIB)
        raise ConnectionResetError("the sender went away")

    async def stalling() -> AsyncIterator[bytes]:
        yield b"x" * (3 * MIB)
        begun.set()
        await asyncio.Event().wait()

    with pytest.raises(ConnectionResetError):
        await store.write(PATH, breaking())
    writing = asyncio.create_task(store.write(PATH, stalling()))
    await begun.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert len(emulator.service.sessions) == 2
    await until(lambda: emulator.open_uploads == 0)
    with pytest.raises(NotFound):
        await store.stat(PATH)


async def test_an_upload_that_is_cancelled_while_it_begins_is_given_up(
    emulator: Emulator, store: GcsStore, small_blocks: None
) -> None:
    emulator.faults.slow_seconds = 0.2
    emulator.faults.order(Fault.SLOW, method="POST")
    writing = asyncio.create_task(store.write(PATH, stream(b"x" * (3 * MIB))))
    await until(lambda: emulator.faults.waiting == 0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await until(lambda: bool(emulator.service.sessions) and emulator.open_uploads == 0)


async def test_a_stream_that_outlives_its_store_tells_its_own_error(
    emulator: Emulator, store: GcsStore, small_blocks: None
) -> None:
    async def closing() -> AsyncIterator[bytes]:
        yield b"x" * (3 * MIB)
        store.close()
        raise ConnectionResetError("the sender went away")

    with pytest.raises(ConnectionResetError):
        await store.write(PATH, closing())


async def test_a_large_object_in_one_piece_is_sent_in_blocks(
    emulator: Emulator, store: GcsStore, small_blocks: None
) -> None:
    data = bytes(range(256)) * (10 * 1024)
    await store.write(PATH, data, if_generation=0)
    assert (await store.read(PATH)).data == data
    assert requests(emulator, "PUT") == 3


async def test_a_client_never_sends_more_than_a_block_in_one_request() -> None:
    # Beyond 8 MiB the client would open an upload of its own, without our retries.
    assert BLOCK_BYTES <= 8 * MIB


# Many at once


async def test_as_many_pages_are_written_at_once_as_there_are_threads_and_over_the_same_connections_again(
    emulator: Emulator, store: GcsStore
) -> None:
    await store.write(PATH, b"pixels")
    opened: set[int] = set()
    for _ in range(3):
        emulator.faults.order(Fault.HELD, method="POST", times=THREADS)
        writing = asyncio.gather(*(store.write(f"users/a/page_{number}.png", b"pixels") for number in range(THREADS)))
        # None is answered before the last has come, so that they do not come one behind another.
        await until(lambda: emulator.faults.held == THREADS)
        emulator.faults.release()
        await writing
        opened.add(emulator.connections)
    assert len(opened) == 1


async def test_a_listing_goes_on_over_pages(emulator: Emulator, bucket: Bucket, store: GcsStore) -> None:
    for number in range(2500):
        put(bucket, f"users/{number % 5}/{number:04d}", b"")
    emulator.faults.order(Fault.RESET, method="GET", text="pageToken")
    found = [stat.path async for stat in store.list("users/")]
    assert found == sorted(f"users/{number % 5}/{number:04d}" for number in range(2500))
    assert [name async for name in store.children("users/")] == ["0", "1", "2", "3", "4"]
    assert sum(call.path == "/storage/v1/b/pages/o" for call in emulator.service.calls) == 4


# The clock


async def test_the_time_is_told_without_asking_again(emulator: Emulator, store: GcsStore) -> None:
    first = await store.now()
    asked = len(emulator.service.calls)
    assert all([await store.now() >= first for _ in range(100)])
    assert len(emulator.service.calls) == asked


async def test_the_time_is_never_behind_a_write_of_our_own_nor_ahead_of_the_storage(store: GcsStore) -> None:
    for _ in range(5):
        await store.write(PATH, b"pixels")
        told, stamped = await store.now(), (await store.stat(PATH)).updated_at
        assert stamped <= told
        later = await store.write(PATH, b"pixels")
        assert told.timestamp() <= later / 1_000_000


# What cannot be


async def test_the_client_asks_for_nothing_beside_our_requests(emulator: Emulator, store: GcsStore) -> None:
    await store.write(PATH, b"pixels")
    await store.read(PATH)
    with pytest.raises(NotFound):
        await store.read("users/0123456789ab/session/page_002.png")
    assert not [thread for thread in threading.enumerate() if "background" in thread.name]
    assert requests(emulator, "GET", "/o/") == len(emulator.service.calls) - 1


async def test_a_missing_bucket_is_said_to_be_missing(emulator: Emulator, store: GcsStore) -> None:
    emulator.service.buckets.clear()
    for attempt in (store.write(PATH, b""), store.write(PATH, stream(b"")), anext(store.list(""))):
        with pytest.raises(Unavailable, match="GCS_BUCKET_NAME"):
            await attempt


async def test_a_browser_may_upload_to_a_session_of_its_own(
    emulator: Emulator, bucket: Bucket, store: GcsStore
) -> None:
    address = await store.create_resumable_upload_session(PATH, origin="https://ocr.example", size=6)
    session = emulator.service.sessions[address.rpartition("=")[2]]
    assert (session.origin, session.length) == ("https://ocr.example", 6)
    await store.write(PATH, b"first")
    with pytest.raises(PreconditionFailed):
        await store.create_resumable_upload_session(PATH, origin="https://ocr.example", size=6)


# Memory


def test_a_large_object_passes_through_without_being_held() -> None:
    command = [sys.executable, "-m", "bench.bucket", "--mib", "96", "--pages", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    growth = {line[:13].strip(): float(line.split()[-1]) for line in done.stdout.splitlines() if "streamed" in line}
    assert set(growth) == {"streamed up", "streamed down"}
    # Some copies of a block of 8 MiB going up, and of a piece of 4 MiB coming down.
    assert growth["streamed up"] < 64
    assert growth["streamed down"] < 48


# All together


@pytest.mark.slow
async def test_in_bad_weather_nothing_is_lost_or_done_twice(
    emulator: Emulator, bucket: Bucket, store: GcsStore, small_blocks: None
) -> None:
    emulator.faults.set({Fault.UNAVAILABLE: 0.10, Fault.BUSY: 0.05, Fault.RESET: 0.15, Fault.LOST: 0.05})
    pages = {f"users/a/page_{number:03d}.png": bytes([number]) * 20_000 for number in range(24)}
    record, writers, rounds = "users/a/processing.json", 4, 5
    await write_paced(store, record, b"", if_generation=0)

    async def page(path: str, data: bytes) -> None:
        generation = await write_paced(store, path, data, if_generation=0)
        assert (await store.read(path)).generation == generation

    async def note(entry: str) -> None:
        """As a commit does: applied again after a conflict, which may be with ourselves, it finds itself done."""
        while entry not in (stored := await store.read(record)).data.decode().split():
            with suppress(PreconditionFailed):
                await write_paced(store, record, stored.data + f"{entry} ".encode(), if_generation=stored.generation)

    async def writer(name: int) -> None:
        for turn in range(rounds):
            await note(f"{name}-{turn}")

    async def large(path: str, data: bytes) -> None:
        await store.write(path, stream(data[:MIB], data[MIB:]), if_generation=0)
        assert await streamed(store, path) == data
        await store.delete(path)
        with pytest.raises(StorageError):
            await store.stat(path)

    await asyncio.gather(
        *(page(path, data) for path, data in pages.items()),
        *(writer(name) for name in range(writers)),
        *(large(f"users/b/{number}", bytes([number]) * (3 * MIB)) for number in range(3)),
    )
    emulator.faults.set({})
    noted = (await store.read(record)).data.decode().split()
    assert sorted(noted) == [f"{name}-{turn}" for name in range(writers) for turn in range(rounds)]
    for path, data in pages.items():
        assert (await store.read(path)).data == data
    assert [stat.path async for stat in store.list("users/")] == sorted([*pages, record])
    assert sum(emulator.faults.happened.values()) > 25
