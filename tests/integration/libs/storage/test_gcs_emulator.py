"""The emulator itself, asked by the official client and, where that asks too little, by plain requests."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest
from google.api_core import exceptions as api
from google.cloud.storage import Client

from tests.emulators.gcs.compare import CASES, Asked
from tests.emulators.gcs.faults import Fault
from tests.emulators.gcs.server import Emulator

PAGE = "https://ocr.example"

# What Cloud Storage's documentation says of each request of the comparison.
DOCUMENTED = {
    "create only, twice": "200, 412",
    "write to a stale generation": "generations differ: True; write 412 conditionNotMet",
    "delete of a stale generation": "412",
    "read of a replaced generation, content and metadata": "404, 404",
    "`ifGenerationNotMatch` of the present one": "304",
    "read of a missing object": "404 notFound; media 404",
    "delete of a missing object": "404; by generation 404",
    "ranges 2-4, 7-, -3, 8-99, 10- of ten bytes": "206 234, 206 789, 206 789, 206 89, 416",
    "checksums of a write": "crc32c KAwGng==, md5 eB5eJF1ptWaXm4bijSPyxw==, size '10'",
    "listing by pages of 2 and 3": "0,1 more: True / 2,3,4 more: False",
    "listing with delimiter from `a/` on": "prefixes ['a/'], items ['b']",
    "listing with `fields=items(name,size)`": "['items'], ['name', 'size']",
    "resumable upload": "308 bytes=0-262143; again 308; status 308 bytes=0-262143; end 200; status after it 200; "
    "size 262147",
    "a chunk that is no multiple of 256 KiB": "400",
    "an upload that was overtaken": "412",
    "an upload that is cancelled": "499, then 499",
    "compose": "200, size 4, components 2",
    "patch by metageneration": "200, generation kept: True, stale 412",
    "rewrite": "200, done True",
}


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with Emulator() as emulator:
        emulator.make_bucket("pages")
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator.url)
        yield emulator


@pytest.fixture
def bucket(emulator: Emulator) -> Iterator[Any]:
    with Client() as client:
        yield client.bucket("pages")


@pytest.mark.parametrize("label", DOCUMENTED)
def test_it_answers_as_the_documentation_says(emulator: Emulator, label: str) -> None:
    with closing(Asked(emulator.url, "pages")) as asked:
        assert dict(CASES)[label](asked) == DOCUMENTED[label]


def test_a_wrong_checksum_is_refused_and_nothing_is_made(bucket: Any) -> None:
    blob = bucket.blob("a")
    blob.crc32c = "AAAAAA=="
    blob._changes.add("crc32c")
    with pytest.raises(api.BadRequest, match="CRC32C"):
        blob.upload_from_string(b"pixels", checksum=None)
    assert not bucket.blob("a").exists()


def test_what_is_said_of_an_object_comes_back(bucket: Any) -> None:
    blob = bucket.blob("a")
    blob.metadata = {"writer": "x", "grüße": "ü"}
    blob.cache_control = "no-store"
    blob.upload_from_string(b"pixels", content_type="image/png")
    found = bucket.get_blob("a")
    assert (found.metadata, found.cache_control) == ({"writer": "x", "grüße": "ü"}, "no-store")
    assert (found.content_type, found.size, found.metageneration) == ("image/png", 6, 1)
    assert found.time_created == found.updated
    found.metadata = {"writer": None}
    found.patch(if_metageneration_match=1)
    patched = bucket.get_blob("a")
    assert (patched.metadata, patched.generation, patched.metageneration) == ({"grüße": "ü"}, found.generation, 2)


def test_copies_and_joins_keep_the_content_and_its_conditions(bucket: Any) -> None:
    bucket.blob("a").upload_from_string(b"one ")
    bucket.blob("b").upload_from_string(b"two")
    bucket.blob("joined").compose([bucket.blob("a"), bucket.blob("b")], if_generation_match=0)
    assert bucket.blob("joined").download_as_bytes() == b"one two"
    with pytest.raises(api.PreconditionFailed):
        bucket.blob("joined").compose([bucket.blob("a")], if_generation_match=0)
    bucket.copy_blob(bucket.blob("a"), bucket, "copy", if_generation_match=0)
    assert bucket.blob("copy").rewrite(bucket.blob("b"))[0] is None
    assert bucket.blob("copy").download_as_bytes() == b"two"


def test_a_listing_in_pages_is_the_listing(bucket: Any) -> None:
    names = sorted(["a/1", "a/2", "a.b/1", "b", "c/d/e", "c/d/f", "z"])
    for name in reversed(names):
        bucket.blob(name).upload_from_string(b"")
    for size in range(1, 8):
        assert [blob.name for blob in bucket.list_blobs(page_size=size)] == names
        found = bucket.list_blobs(page_size=size, delimiter="/")
        assert [blob.name for blob in found] == ["b", "z"]
        assert found.prefixes == {"a/", "a.b/", "c/"}
    assert [blob.name for blob in bucket.list_blobs(start_offset="a/2", end_offset="c/d/f")] == ["a/2", "b", "c/d/e"]


def test_one_object_takes_one_write_a_second_and_others_do_not_mind(emulator: Emulator, bucket: Any) -> None:
    now = 1_800_000_000.0
    emulator.make_bucket("pages", paced=True, clock=lambda: now)
    bucket.blob("a").upload_from_string(b"1", retry=None)
    bucket.blob("b").upload_from_string(b"1", retry=None)
    with pytest.raises(api.TooManyRequests):
        bucket.blob("a").upload_from_string(b"2", retry=None)
    with pytest.raises(api.TooManyRequests):
        bucket.blob("a").delete(retry=None)
    now += 1
    # A write that fails by its condition has used up its second, too.
    with pytest.raises(api.PreconditionFailed):
        bucket.blob("a").upload_from_string(b"2", if_generation_match=0, retry=None)
    with pytest.raises(api.TooManyRequests):
        bucket.blob("a").upload_from_string(b"2", retry=None)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.UNAVAILABLE, api.ServiceUnavailable),
        (Fault.BUSY, api.TooManyRequests),
        (Fault.RESET, Exception),
        (Fault.LOST, Exception),
        (Fault.DENIED_DONE, api.ServiceUnavailable),
        (Fault.CUT, Exception),
    ],
)
def test_a_fault_is_felt_and_only_some_are_done(
    emulator: Emulator, bucket: Any, fault: Fault, error: type[Exception]
) -> None:
    emulator.faults.order(fault, method="POST")
    with pytest.raises(error):
        bucket.blob("a").upload_from_string(b"pixels" * 100, retry=None)
    assert ("a" in emulator.service.buckets["pages"]) == (fault in (Fault.LOST, Fault.DENIED_DONE, Fault.CUT))


def test_rates_are_kept_and_a_seed_repeats_them(emulator: Emulator) -> None:
    def drawn() -> list[Fault | None]:
        emulator.faults._rng.seed(7)
        return [emulator.faults.draw("GET", "/") for _ in range(2000)]

    emulator.faults.set({Fault.UNAVAILABLE: 0.10, Fault.LOST: 0.05})
    first = drawn()
    assert first == drawn()
    assert 150 <= first.count(Fault.UNAVAILABLE) <= 250
    assert 60 <= first.count(Fault.LOST) <= 140


# Browsers


def test_only_the_page_that_a_session_was_opened_for_may_use_it(emulator: Emulator, bucket: Any) -> None:
    address = bucket.blob("a").create_resumable_upload_session(size=6, origin=PAGE, if_generation_match=0)
    with httpx.Client(trust_env=False) as browser:
        for origin, allowed in ((PAGE, PAGE), ("https://elsewhere.example", None)):
            asked = browser.options(address, headers={"Origin": origin, "Access-Control-Request-Method": "PUT"})
            assert asked.headers.get("Access-Control-Allow-Origin") == allowed
        wrong = browser.put(address, content=b"pix", headers={"Content-Range": "bytes 0-2/3"})
        assert wrong.status_code == 400
        done = browser.put(address, content=b"pixels", headers={"Origin": PAGE})
        assert (done.status_code, done.headers["Access-Control-Allow-Origin"]) == (200, PAGE)
    assert bucket.blob("a").download_as_bytes() == b"pixels"
