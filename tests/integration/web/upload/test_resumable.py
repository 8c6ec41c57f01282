"""Resumable uploads over real servers, by a client that is not ours, while processes die."""

import io
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError, TusUploadFailed

from tests.documents import pdf
from tests.running import Running, running
from tests.scripted import Script

MB = 1_000_000
ADA = "ada@example.org"


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("resumable"), script=Script(), UPLOAD_MAX_BYTES=str(200 * MB)) as found:
        yield found


def padded(path: Path, size: int) -> Path:
    """A PDF of one page, with a comment of random bytes in front of its end that makes it `size` bytes long."""
    data = pdf(path, 1).read_bytes()
    path.write_bytes(data + b"\n%" + os.urandom(size - len(data) - 2 - 2048).replace(b"\n", b" ") + b"\n" + tail(data))
    return path


def tail(data: bytes) -> bytes:
    end = data[data.rindex(b"startxref") :]
    return b" " * (2047 - len(end)) + end


def uploader(services: Running, path: Path, *, user: str = ADA, **options: object) -> Any:
    """The public client's uploader, untyped where its own types are wrong."""
    client = TusClient(f"{services.url}/api/uploads", headers={"X-User-Email": user})
    stream = io.BytesIO(path.read_bytes())  # given a path, the client would leave files open
    return client.uploader(file_stream=stream, metadata={"filename": path.name}, **options)


def stored(services: Running, job_id: str) -> bytes:
    job = services.status(job_id, user=ADA)
    (path,) = services.storage.glob(f"users/*/{job_id}/{job['file_info']['raw_file']}")
    return path.read_bytes()


def finished(services: Running, sent: Any, path: Path) -> None:
    job_id = sent.request.response_headers["gnosis-job-id"]
    services.until(lambda: services.status(job_id, user=ADA)["status"] == "completed", "the job")
    assert stored(services, job_id) == path.read_bytes()


@pytest.mark.slow
def test_a_public_client_uploads_through_kills_of_the_server(services: Running, tmp_path: Path) -> None:
    path = padded(tmp_path / "through.pdf", 30 * MB)
    sending = uploader(services, path, chunk_size=2 * MB, retries=200, retry_delay=0.1, upload_checksum=True)
    ended = threading.Thread(target=sending.upload)
    ended.start()
    for least in (5 * MB, 15 * MB):
        services.until(lambda least=least: sending.offset >= least, "the upload to go on")
        services.kill("web")
        services.start("web")
    ended.join()
    finished(services, sending, path)


def test_another_process_goes_on_from_what_is_stored(services: Running, tmp_path: Path) -> None:
    path = padded(tmp_path / "later.pdf", 5 * MB)
    first = uploader(services, path, chunk_size=2 * MB)
    first.upload(stop_at=4 * MB)
    second = uploader(services, path, url=first.url, chunk_size=2 * MB)
    assert second.offset == 4 * MB
    second.upload()
    finished(services, second, path)


def test_what_arrived_of_a_piece_is_kept_when_the_connection_is_cut(services: Running, tmp_path: Path) -> None:
    path = padded(tmp_path / "cut.pdf", 5 * MB)
    sending = uploader(services, path)
    sending.set_url(sending.create_url())

    def breaks_off() -> Iterator[bytes]:
        yield path.read_bytes()[: 3 * MB]
        raise ConnectionError("cut")

    headers = {"Tus-Resumable": "1.0.0", "X-User-Email": ADA, "Upload-Offset": "0"}
    headers |= {"Content-Type": "application/offset+octet-stream"}
    with pytest.raises(ConnectionError):
        httpx.patch(sending.url, content=breaks_off(), headers=headers, trust_env=False)
    services.until(lambda: sending.get_offset() == 3 * MB, "what arrived to be stored")
    sending.offset = sending.get_offset()
    sending.upload()
    finished(services, sending, path)


def test_uploads_side_by_side_do_not_mix(services: Running, tmp_path: Path) -> None:
    paths = [padded(tmp_path / f"{n}.pdf", 3 * MB) for n in range(3)]
    sending = [uploader(services, path, chunk_size=MB) for path in paths]
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda one: one.upload(), sending))
    for sent, path in zip(sending, paths, strict=True):
        finished(services, sent, path)


def test_a_public_client_is_told_what_is_refused(services: Running, tmp_path: Path) -> None:
    path = padded(tmp_path / "refused.pdf", MB)
    with pytest.raises(TusCommunicationError) as large:
        uploader(services, sparse(tmp_path / "large.pdf", 201 * MB)).upload()
    assert large.value.status_code == 413

    fake = tmp_path / "fake.pdf"
    fake.write_bytes(b"no document " * 1000)
    with pytest.raises(TusUploadFailed) as wrong:
        uploader(services, fake).upload()
    assert wrong.value.status_code == 415

    sending = uploader(services, path, chunk_size=MB // 2)
    sending.upload(stop_at=MB // 2)
    sending.offset = 10
    with pytest.raises(TusUploadFailed) as conflict:
        sending.upload_chunk()
    assert conflict.value.status_code == 409
    with pytest.raises(TusCommunicationError) as stranger:
        uploader(services, path, user="eve@example.org", url=sending.url).get_offset()
    assert stranger.value.status_code == 404
    gone = httpx.delete(sending.url, headers={"Tus-Resumable": "1.0.0", "X-User-Email": ADA}, trust_env=False)
    assert gone.status_code == 204
    with pytest.raises(TusCommunicationError) as terminated:
        sending.get_offset()
    assert terminated.value.status_code == 404


def sparse(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


def h2c(services: Running) -> httpx.Client:
    """A client that speaks HTTP/2 without asking first, as Cloud Run's front end does."""
    return httpx.Client(
        http1=False, http2=True, trust_env=False, timeout=60, base_url=services.url, headers={"X-User-Email": ADA}
    )


def pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            yield piece


@pytest.mark.slow
def test_a_large_body_arrives_over_h2c_in_little_memory(services: Running, tmp_path: Path) -> None:
    path = padded(tmp_path / "h2.pdf", 120 * MB)
    web = psutil.Process(services.pid("web"))
    before = web.memory_info().rss
    with h2c(services) as client:
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(path.stat().st_size)}
        headers |= {"Content-Type": "application/offset+octet-stream"}
        answer = client.post("/api/uploads", content=pieces(path), headers=headers)
    assert answer.http_version == "HTTP/2"
    assert answer.status_code == 201
    assert stored(services, answer.headers["gnosis-job-id"]) == path.read_bytes()
    assert web.memory_info().rss - before < 100 * MB


def test_a_refused_body_over_h2c_leaves_the_connection_usable(services: Running, tmp_path: Path) -> None:
    # No more than the service drains: when it resets the stream of a larger one, httpx raises and drops the answer.
    path = sparse(tmp_path / "zeros.pdf", MB // 2)
    with h2c(services) as client, path.open("rb") as file:
        headers = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
        refusals = [
            client.post("/api/uploads", content=pieces(path), headers=headers | {"Upload-Length": str(20 * MB)}),
            client.post("/api/uploads", content=pieces(path), headers=headers | {"Upload-Length": str(201 * MB)}),
            client.post("/api/uploads", content=pieces(path), headers={"Upload-Length": "9"}),
            client.patch(f"/api/uploads/{'0' * 32}", content=pieces(path), headers=headers),
            client.post("/upload", files={"file": ("zeros.pdf", file)}),
        ]
        assert [answer.status_code for answer in refusals] == [415, 413, 412, 404, 415]
        assert {answer.http_version for answer in refusals} == {"HTTP/2"}
        assert client.get("/health").status_code == 200


def test_an_upload_that_was_whole_when_web_died_becomes_a_job_without_its_client(
    services: Running, tmp_path: Path
) -> None:
    path = padded(tmp_path / "whole.pdf", MB)
    sending = uploader(services, path, chunk_size=MB // 2)
    sending.upload(stop_at=MB // 2)
    upload_id = sending.url.rsplit("/", 1)[-1]
    services.kill("web")
    # As if web had died between the last part and the job.
    (folder,) = services.storage.glob(f"users/*/{upload_id}/parts")
    (folder / f"{MB // 2:016d}").write_bytes(path.read_bytes()[MB // 2 :])
    services.start("web")
    services.until(lambda: list(services.storage.glob(f"users/*/{upload_id}/processing.json")), "the sweep's job")
    services.wait_ready()
    services.until(lambda: services.status(upload_id, user=ADA)["status"] == "completed", "the job")
    assert stored(services, upload_id) == path.read_bytes()
