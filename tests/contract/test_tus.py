"""Resumable uploads over the real routes and both stores, message by message as an HTTP server passes them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.jobstate.commit import load
from libs.jobstate.intake import OcrMode
from libs.storage import layout
from libs.storage.errors import NotFound, OutOfSpace
from libs.storage.gcs import GcsStore
from libs.storage.local import LocalStore
from libs.storage.memory import MemoryStore
from libs.storage.store import ObjectStore
from libs.taskqueue.queue import EXTRACT_QUEUE, OCR_QUEUE
from services.serving.body import Pace
from services.web.upload import parts as uploads
from services.web.upload.tus_body import LOOK_SECONDS, Body
from tests.clock import StorageClock
from tests.emulators.gcs.server import Emulator
from tests.tusclient import BODY_TYPE, PDF, Client, checksum, metadata

EVE = "eve@example.org"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Emulator]:
    with Emulator() as emulator, pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", emulator.url)
        yield emulator


@pytest.fixture(params=["memory", "local", "gcs"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStore]:
    if request.param != "gcs":
        yield MemoryStore() if request.param == "memory" else LocalStore(tmp_path / "storage")
        return
    bucket = f"bucket-{tmp_path.name}".lower().replace("_", "-")[:60].rstrip("-")
    request.getfixturevalue("cloud").make_bucket(bucket)
    store = GcsStore(bucket)
    yield store
    store.close()


async def test_an_upload_in_pieces_becomes_a_job_with_its_options(store: ObjectStore) -> None:
    client = Client(store)
    address = await client.create(
        len(PDF), Upload_Metadata=metadata(filename="a b.pdf", pages="1-2", dpi="200", ocr="force")
    )
    first = await client.patch(address, 0, PDF[:100])
    last = await client.patch(address, 100, PDF[100:])

    assert (first.status, first.headers["upload-offset"]) == (204, "100")
    assert "location" not in first.headers
    job_id = address.rsplit("/", 1)[-1]
    assert last.status == 204
    assert last.headers["gnosis-job-id"] == job_id
    assert last.headers["location"] == f"/api/jobs/{job_id}"
    job = await load(client.files(address))
    assert (job.file_info.filename, job.file_info.file_type, job.file_info.file_size) == ("a b.pdf", "pdf", len(PDF))
    assert (job.options.pages, job.options.dpi, job.options.ocr) == ("1-2", 200, OcrMode.FORCE)
    assert await client.stored(address) == PDF
    assert await client.names(address) == {"a b.pdf", "intake.json", "processing.json", "upload.json"}


async def test_an_upload_that_became_a_job_still_says_that_it_is_complete(store: ObjectStore) -> None:
    client = Client(store)
    sent = metadata(filename="a.pdf", other="kept")
    address = await client.create(len(PDF), Upload_Metadata=sent)
    await client.patch(address, 0, PDF)

    answer = await client.send("HEAD", address)
    assert answer.headers["upload-offset"] == answer.headers["upload-length"] == str(len(PDF))
    assert answer.headers["upload-metadata"] == sent
    assert answer.headers["gnosis-job-id"] == address.rsplit("/", 1)[-1]
    assert (await client.patch(address, len(PDF))).status == 204


@settings(max_examples=40, deadline=None)
@given(
    pieces=st.lists(st.integers(0, 900), max_size=8),
    breaks=st.lists(st.booleans(), min_size=9, max_size=9),
    summed=st.lists(st.booleans(), min_size=9, max_size=9),
    part_bytes=st.sampled_from([1 << 20, 8000, 700, 64]),
)
def test_any_split_of_the_bytes_and_any_breaks_give_the_same_file(
    pieces: list[int], breaks: list[bool], summed: list[bool], part_bytes: int
) -> None:
    data = PDF[:3000]

    async def upload() -> None:
        client = Client(MemoryStore())
        address = await client.create(len(data))
        offset = 0
        for piece, broken, sums in zip([*pieces, len(data)], breaks, summed, strict=False):
            body = data[offset : offset + piece]
            headers = {"Upload_Checksum": checksum(body)} if sums else {}
            await client.patch(address, offset, body[:10], body[10:], broken=broken, headers=headers)
            kept = await client.offset(address)
            # A body with a checksum counts as a whole; of any other, what arrived counts.
            assert kept == (offset if sums and broken else min(offset + piece, len(data)))
            offset = kept
        if offset < len(data):
            await client.patch(address, offset, data[offset:])
        assert await client.stored(address) == data

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(uploads, "PART_BYTES", part_bytes)
        asyncio.run(upload())


async def test_what_arrived_before_a_break_is_kept(store: ObjectStore) -> None:
    client = Client(store)
    address = await client.create(len(PDF))
    await client.patch(address, 0, PDF[:3000], PDF[3000:3001], broken=True)
    assert await client.offset(address) == 3001


async def test_a_client_that_sends_nothing_for_long_is_told_so_and_what_came_is_kept() -> None:
    client = Client(MemoryStore(), upload_stall_seconds=0.05)
    address = await client.create(len(PDF))
    arriving = iter([b"%PDF-1.7", PDF[8:2100]])

    async def stalls() -> AsyncIterator[bytes]:
        for piece in arriving:
            yield piece
        await asyncio.sleep(60)

    async def look() -> None:
        assert not await client.files(address).is_deleted()

    pace = Pace(total_seconds=60.0, stall_seconds=0.05, bytes_per_second=1000.0)
    body = Body(cast(Any, _Streamed(stalls())), most=len(PDF), pace=pace, look=look)
    assert await uploads.append(client.files(address), 0, body) == 2100
    assert cast(Any, body.fault).status == 408
    assert await client.offset(address) == 2100


class _Streamed:
    """The part of a request that a body needs."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks

    def stream(self) -> AsyncIterator[bytes]:
        return self._chunks


async def test_of_two_requests_at_one_offset_one_is_refused_and_the_file_is_whole(store: ObjectStore) -> None:
    client = Client(store)
    address = await client.create(len(PDF))
    await client.patch(address, 0, PDF[:2100])
    answers = await asyncio.gather(*(client.patch(address, 2100, PDF[2100:3000]) for _ in range(4)))

    assert sorted(answer.status for answer in answers) == [204, 409, 409, 409]
    await client.patch(address, 3000, PDF[3000:])
    assert await client.stored(address) == PDF


async def test_a_wrong_offset_is_refused_with_the_right_one(store: ObjectStore) -> None:
    client = Client(store)
    address = await client.create(len(PDF))
    await client.patch(address, 0, PDF[:2500])
    for offset in (0, 2499, 2501):
        answer = await client.patch(address, offset, PDF[offset:])
        assert (answer.status, answer.headers["upload-offset"]) == (409, "2500")
    assert await client.offset(address) == 2500


async def test_bytes_with_a_wrong_checksum_are_not_kept(store: ObjectStore) -> None:
    client = Client(store)
    address = await client.create(len(PDF))
    answer = await client.patch(address, 0, PDF, Upload_Checksum=checksum(PDF[:-1]))
    assert answer.status == 460
    assert await client.offset(address) == 0
    assert (await client.patch(address, 0, PDF, Upload_Checksum=checksum(PDF, "sha256"))).status == 204
    assert await client.stored(address) == PDF


async def test_another_user_sees_nothing_of_an_upload(store: ObjectStore) -> None:
    client = Client(store)
    address = await client.create(len(PDF))
    body = {"Content_Type": BODY_TYPE, "Upload_Offset": "0"}
    assert (await client.send("HEAD", address, user=EVE)).status == 404
    assert (await client.send("PATCH", address, PDF, user=EVE, headers=body)).status == 404
    assert (await client.send("DELETE", address, user=EVE)).status == 404
    assert await client.offset(address) == 0


async def test_a_terminated_upload_is_gone_with_everything_it_stored(store: ObjectStore) -> None:
    client = Client(store)
    address = await client.create(len(PDF))
    await client.patch(address, 0, PDF[:2500])
    assert (await client.send("DELETE", address)).status == 204
    assert (await client.send("HEAD", address)).status == 404
    assert (await client.patch(address, 2500, PDF[2500:])).status == 404
    assert await client.names(address) == set()
    assert [stat async for stat in store.list(layout.ACTIVE)] == []


async def test_an_upload_that_became_a_job_is_not_deleted_as_an_upload(store: ObjectStore) -> None:
    client = Client(store)
    address = await client.create(len(PDF))
    await client.patch(address, 0, PDF)
    assert (await client.send("DELETE", address)).status == 409
    assert await client.stored(address) == PDF


async def test_an_upload_can_be_created_with_its_first_bytes(store: ObjectStore) -> None:
    client = Client(store)
    body = {"Upload_Length": str(len(PDF)), "Content_Type": BODY_TYPE}
    part = await client.send("POST", "/api/uploads", PDF[:2100], headers=body)
    assert (part.status, part.headers["upload-offset"]) == (201, "2100")
    assert (await client.patch(part.headers["location"], 2100, PDF[2100:])).status == 204
    assert await client.stored(part.headers["location"]) == PDF

    whole = await client.send("POST", "/api/uploads", PDF, headers=body)
    assert whole.status == 201
    assert whole.headers["location"] == f"/api/uploads/{whole.headers['gnosis-job-id']}"
    assert await client.stored(whole.headers["location"]) == PDF


async def test_the_length_may_be_said_later(store: ObjectStore) -> None:
    client = Client(store)
    address = await client.create(None)
    assert (await client.send("HEAD", address)).headers["upload-defer-length"] == "1"
    await client.patch(address, 0, PDF[:2500])
    contradiction = await client.patch(address, 2500, PDF[2500:], Upload_Length="2499")
    last = await client.patch(address, 2500, PDF[2500:], Upload_Length=str(len(PDF)))
    assert (contradiction.status, last.status) == (400, 204)
    assert await client.stored(address) == PDF


@pytest.mark.parametrize("first", [1, 2047, 2048, 4000])
async def test_a_file_of_no_known_type_is_refused_as_soon_as_it_can_be_told(store: ObjectStore, first: int) -> None:
    client = Client(store)
    text = b"plain text " * 1000
    address = await client.create(len(text), Upload_Metadata=metadata(filename="fake.pdf"))
    answer = await client.patch(address, 0, text[:first])
    if first < 2048:
        assert answer.status == 204
        answer = await client.patch(address, first, text[first:2048])
    assert answer.status == 415
    assert await client.names(address) == set()
    assert (await client.send("HEAD", address)).status == 404


async def test_a_small_file_of_no_known_type_leaves_nothing_whoever_says_its_length_last(store: ObjectStore) -> None:
    client = Client(store)
    address = await client.create(None)
    await client.patch(address, 0, b"hello")
    assert (await client.patch(address, 5, Upload_Length="5")).status == 415
    assert await client.names(address) == set()


async def test_an_upload_found_to_be_of_no_known_type_only_when_complete_leaves_nothing(store: ObjectStore) -> None:
    client = Client(store)
    address = await client.create(None)
    await client.patch(address, 0, b"hello")
    # The length is taken, the body is refused.
    assert (await client.patch(address, 5, Upload_Length="5", Content_Length="1")).status == 413
    assert (await client.send("HEAD", address)).status == 415
    assert await client.names(address) == set()


async def test_size_limits_hold_at_creation_and_while_bytes_arrive() -> None:
    client = Client(MemoryStore(), upload_max_bytes=len(PDF))
    creations = {size: await client.send("POST", "/api/uploads", Upload_Length=str(size)) for size in (0, len(PDF) + 1)}
    assert {size: answer.status for size, answer in creations.items()} == {0: 400, len(PDF) + 1: 413}
    address = await client.create(None)
    assert (await client.patch(address, 0, PDF, b"x")).status == 413
    address = await client.create(len(PDF))
    assert (await client.patch(address, 0, b"%PDF", Content_Length=str(len(PDF) + 1))).status == 413
    assert await client.offset(address) == 0
    assert (await client.patch(address, 0, PDF)).status == 204


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 400),
        ({"Upload_Length": "-1"}, 400),
        ({"Upload_Length": "٣"}, 400),
        ({"Upload_Length": "9" * 19}, 400),
        ({"Upload_Length": "9", "Upload_Metadata": "filename %%%"}, 400),
        ({"Upload_Length": "9", "Upload_Metadata": "a YQ==,a YQ=="}, 400),
        ({"Upload_Length": "9", "Upload_Metadata": metadata(pages="none")}, 422),
        ({"Upload_Length": "9", "Upload_Metadata": metadata(dpi="7")}, 422),
        ({"Upload_Length": "9", "Upload_Metadata": metadata(engine="absent")}, 422),
        ({"Upload_Length": "9", "Upload_Metadata": metadata(ocr="never")}, 422),
        ({"Upload_Length": "9", "Tus_Resumable": "0.2.2"}, 412),
    ],
    ids=range(11),
)
async def test_a_creation_that_asks_for_nonsense_is_refused_and_leaves_nothing(
    headers: Mapping[str, str], status: int
) -> None:
    client = Client(MemoryStore())
    given = {name: value.encode("utf-8").decode("latin-1") for name, value in headers.items()}
    answer = await client.send("POST", "/api/uploads", headers=given)
    assert answer.status == status
    assert answer.headers["tus-resumable"] == "1.0.0"
    assert msgspec.json.decode(answer.body)["hint"]
    assert [stat async for stat in client.store.list("")] == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content_Type": "application/octet-stream"}, 415),
        ({"Upload_Offset": "x"}, 400),
        ({"Upload_Checksum": "md5 AAAA"}, 400),
        ({"Upload_Checksum": "sha1 AAAA"}, 400),
        ({"Upload_Checksum": "sha1 ?"}, 400),
        ({"Upload_Length": "7"}, 400),
        ({"Tus_Resumable": "2"}, 412),
    ],
    ids=range(7),
)
async def test_a_malformed_patch_is_refused_and_changes_nothing(headers: Mapping[str, str], status: int) -> None:
    client = Client(MemoryStore())
    address = await client.create(len(PDF))
    assert (await client.patch(address, 0, PDF, headers=headers)).status == status
    assert await client.offset(address) == 0


async def test_every_active_upload_counts_against_its_user() -> None:
    client = Client(MemoryStore(), active_jobs_per_user=2)
    addresses = []
    for _ in range(2):
        addresses.append(await client.create(len(PDF)))
        await asyncio.sleep(0.002)  # ids sort by the millisecond
    assert (await client.send("POST", "/api/uploads", Upload_Length="9")).status == 429
    assert (await client.send("POST", "/api/uploads", Upload_Length="9", user=EVE)).status == 201
    await client.send("DELETE", addresses[0])
    await client.create(len(PDF))


async def test_a_client_that_can_only_post_names_the_method_in_a_header(store: ObjectStore) -> None:
    client = Client(store)
    address = await client.create(len(PDF))
    headers = {"Content_Type": BODY_TYPE, "Upload_Offset": "0", "X_HTTP_Method_Override": "PATCH"}
    assert (await client.send("POST", address, PDF, headers=headers)).status == 204
    assert await client.stored(address) == PDF
    assert (await client.send("POST", address)).status == 405


async def test_options_tells_what_the_server_can_do_whatever_version_the_client_speaks() -> None:
    answer = await Client(MemoryStore()).send("OPTIONS", "/api/uploads", Tus_Resumable="0.1")
    assert answer.status == 204
    assert answer.headers["tus-version"] == "1.0.0"
    assert answer.headers["tus-max-size"] == str(2 * 1024**3)
    assert answer.headers["tus-checksum-algorithm"] == "sha1,sha256"


async def test_an_expired_upload_is_gone_and_the_sweep_takes_its_bytes() -> None:
    clock = StorageClock()
    client = Client(MemoryStore(clock), upload_expires_seconds=100.0)
    address = await client.create(len(PDF))
    await client.patch(address, 0, PDF[:2500])
    clock.now += timedelta(seconds=101)
    assert (await client.send("HEAD", address)).status == 410
    assert (await client.patch(address, 2500, PDF[2500:])).status == 410
    await client.web.sweeper.sweep()
    assert await client.names(address)
    clock.now += timedelta(seconds=client.web.config.lease_seconds)
    await client.web.sweeper.sweep()
    assert await client.names(address) == set()
    assert (await client.send("HEAD", address)).status == 404


async def test_an_upload_under_way_is_left_alone_by_the_sweep() -> None:
    clock = StorageClock()
    client = Client(MemoryStore(clock))
    address = await client.create(len(PDF))
    await client.patch(address, 0, PDF[:2500])
    clock.now += timedelta(hours=23)
    await client.web.sweeper.sweep()
    assert await client.offset(address) == 2500


class Dying:
    """A store whose process dies before its n-th change: that one and all later ones fail."""

    def __init__(self, store: MemoryStore, changes: int) -> None:
        self._store = store
        self._left = changes
        self.died = False

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call: Callable[..., Any] = getattr(self._store, name)
        if name not in ("write", "delete"):
            return call

        async def changing(*arguments: Any, **options: Any) -> Any:
            self._left -= 1
            self.died |= self._left < 0
            if self.died:
                raise OutOfSpace(arguments[0], "died")
            return await call(*arguments, **options)

        return changing


@pytest.mark.parametrize("by", ["head", "patch", "sweep"])
@pytest.mark.parametrize("changes", range(9))
async def test_a_crash_at_any_step_after_the_last_byte_still_ends_in_one_job(
    changes: int, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "PART_BYTES", 1000)
    clock = StorageClock()
    store = MemoryStore(clock)
    before = Client(store)
    address = await before.create(len(PDF), Upload_Metadata=metadata(filename="a.pdf"))
    await before.patch(address, 0, PDF[:1000], PDF[1000:2000], PDF[2000:3000])
    dying = Dying(store, changes)
    await Client(cast(ObjectStore, dying)).patch(address, 3000, PDF[3000:4000], PDF[4000:5000], PDF[5000:])
    if changes < 3:  # a part is missing, and the client has to send it again
        assert await before.offset(address) == 3000 + 1000 * min(changes, 2)
    else:
        after = Client(store)
        clock.now += timedelta(minutes=2)
        if by == "sweep":
            await after.web.sweeper.sweep()
        else:
            answer = await (after.patch(address, len(PDF)) if by == "patch" else after.send("HEAD", address))
            assert answer.headers["gnosis-job-id"] == address.rsplit("/", 1)[-1]
        assert await after.stored(address) == PDF
        assert not any(name.startswith(layout.PARTS) for name in await after.names(address))
    assert dying.died == (changes < 12)


async def test_two_who_finish_at_once_make_one_job(store: ObjectStore) -> None:
    one, other = Client(store), Client(store)
    address = await one.create(len(PDF))
    files = one.files(address)
    await store.write(files.path(layout.PART.format(0)), PDF)
    answers = await asyncio.gather(*(client.send("HEAD", address) for client in (one, one, other, other)))
    assert {answer.headers["gnosis-job-id"] for answer in answers} == {files.session_id}
    assert await one.stored(address) == PDF


async def test_a_full_disk_at_the_end_is_told_and_the_bytes_stay() -> None:
    store = MemoryStore()
    address = await Client(store).create(len(PDF))
    full = Client(cast(ObjectStore, Dying(store, 1)))
    assert (await full.patch(address, 0, PDF)).status == 507
    assert (await full.send("HEAD", address)).status == 507
    assert (await Client(store).send("HEAD", address)).headers["gnosis-job-id"]


async def test_too_many_tiny_parts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.web.upload.tus.MAX_PARTS", 3)
    monkeypatch.setattr(uploads, "PART_BYTES", 8)
    client = Client(MemoryStore())
    address = await client.create(len(PDF))
    statuses = [(await client.patch(address, at, PDF[at : at + 1])).status for at in range(4)]
    assert statuses == [204, 204, 204, 413]


async def test_tiny_parts_grow_into_few(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PART_BYTES", 80)
    client = Client(store)
    address = await client.create(len(PDF))
    for at in range(25):
        assert (await client.patch(address, at, PDF[at : at + 1])).status == 204
    parts = await uploads.list_parts(client.files(address))
    assert (parts.starts, parts.end) == ((0, 10, 20), 25)

    await client.patch(address, 25, PDF[25:])
    assert await client.stored(address) == PDF


async def test_a_part_that_grows_is_whole_or_as_before_whatever_ends_its_request(store: ObjectStore) -> None:
    client = Client(store)
    address = await client.create(len(PDF))
    await client.patch(address, 0, PDF[:3000])
    given = {"Upload_Checksum": checksum(b"other")}
    assert (await client.patch(address, 3000, PDF[3000:3100], headers=given)).status == 460
    assert await client.offset(address) == 3000
    await client.patch(address, 3000, PDF[3000:3100], PDF[3100:3200], broken=True)
    assert await client.offset(address) == 3200
    await client.patch(address, 3200, PDF[3200:])
    assert await client.stored(address) == PDF


class Sender:
    """A PATCH of which a piece arrives, and then no more until it is let go."""

    def __init__(self, client: Client, address: str) -> None:
        self.waits = asyncio.Event()
        self._go = asyncio.Event()
        self.answer = asyncio.create_task(client.patch(address, 0, PDF[:2100], pause=self._pause))

    async def _pause(self) -> None:
        self.waits.set()
        await self._go.wait()

    def go(self) -> None:
        self._go.set()


async def test_a_deletion_ends_the_request_that_sends_and_then_the_upload_no_longer_counts() -> None:
    client = Client(MemoryStore(), active_jobs_per_user=1)
    address = await client.create(len(PDF))
    sender = Sender(client, address)
    await sender.waits.wait()
    assert (await client.send("POST", "/api/uploads", Upload_Length="9")).status == 429

    assert (await client.send("DELETE", address)).status == 204
    assert (await sender.answer).status == 410
    assert await client.names(address) == set()
    assert (await client.patch(address, 0, PDF)).status == 404
    assert (await client.send("POST", "/api/uploads", Upload_Length="9")).status == 201


async def test_a_request_to_another_process_finds_out_that_its_upload_was_deleted(
    let_time_pass: Callable[[float], None],
) -> None:
    store = MemoryStore()
    client, other = Client(store, upload_stall_seconds=600.0), Client(store)
    address = await client.create(len(PDF))
    sender = Sender(client, address)
    await sender.waits.wait()
    assert (await other.send("DELETE", address)).status == 204
    let_time_pass(LOOK_SECONDS + 1)
    sender.go()

    assert (await sender.answer).status == 410
    assert await client.names(address) == set()


async def test_nothing_of_an_upload_is_a_job_before_its_last_byte(store: ObjectStore) -> None:
    client = Client(store)
    address = await client.create(len(PDF))
    await client.patch(address, 0, PDF[:-1])
    job_id = address.rsplit("/", 1)[-1]
    assert (await client.send("GET", f"/api/jobs/{job_id}/status")).status == 404
    assert client.queue.pending(EXTRACT_QUEUE) == client.queue.pending(OCR_QUEUE) == 0
    with pytest.raises(NotFound):
        await load(client.files(address))
