"""Uploads through broken connections, over web's real routes."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gnosis_ocr import AsyncClient, Progress, Unreachable, UploadFailed
from gnosis_ocr import upload as uploads
from libs.internal_token import InternalToken
from libs.jobstate.commit import load
from libs.storage import layout
from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles
from services.serving.queue_identity import SharedSecret
from services.web.auth.identity import Identity
from services.web.config import WebConfig
from tests.inprocess import ClientInProcess, in_process, outward_client

ADA = "ada@example.org"
PDF = b"%PDF-1.7\n" + bytes(range(256)) * 20


class Breaking(httpx.AsyncBaseTransport):
    """Breaks some requests: "before" they reach the service, or "after", so that the answer is lost."""

    def __init__(self, inner: httpx.AsyncBaseTransport, faults: dict[int, str]) -> None:
        self._inner = inner
        self._faults = faults
        #: "METHOD path" of each request, those that broke included.
        self.seen: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        fault = self._faults.get(len(self.seen))
        self.seen.append(f"{request.method} {request.url.path}")
        if fault == "before":
            raise httpx.ConnectError("refused", request=request)
        answer = await self._inner.handle_async_request(request)
        if fault == "after":
            raise httpx.ReadError("broken", request=request)
        return answer


@pytest.fixture
async def service(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ClientInProcess]:
    """Web over a store in memory. Pieces of an upload are small, so that a small file has some."""
    monkeypatch.setattr(uploads, "PIECE_BYTES", 1000)
    async with outward_client() as outward:
        client = in_process(
            WebConfig(),
            store=MemoryStore(),
            identity=Identity([], trusts_header=True),
            queue_identity=SharedSecret(InternalToken("")),
            outward=outward,
        )
        async with client:
            yield client


def through(service: ClientInProcess, faults: dict[int, str]) -> tuple[AsyncClient, Breaking]:
    """A client whose requests break by their numbers, from 0."""
    breaking = Breaking(httpx.ASGITransport(service._transport.app), faults)  # type: ignore[attr-defined]
    http = httpx.AsyncClient(transport=breaking)
    return AsyncClient("http://localhost", user=ADA, http=http), breaking


async def stored(service: ClientInProcess, job_id: str) -> tuple[bytes, Any]:
    """The job's file as it is stored, and the job."""
    files = SessionFiles(store=service.web.store, user_hash=layout.user_hash(ADA), session_id=job_id)
    job = await load(files)
    return (await files.store.read(files.path(job.file_info.raw_file))).data, job


@pytest.mark.parametrize("fault", ["before", "after"])
@pytest.mark.parametrize("at", [0, 1, 3, 6])
async def test_a_broken_request_loses_and_doubles_nothing(service: ClientInProcess, fault: str, at: int) -> None:
    client, breaking = through(service, {at: fault})
    seen: list[Progress] = []
    job_id = await client.upload(PDF, filename="a b.pdf", pages="1-2", dpi=200, ocr="force", on_progress=seen.append)

    data, job = await stored(service, job_id)
    assert data == PDF
    assert job.file_info.filename == "a b.pdf"
    assert (job.options.pages, job.options.dpi, job.options.ocr) == ("1-2", 200, "force")
    sent = [progress.sent for progress in seen]
    assert sent == sorted(sent)
    assert seen[-1] == Progress(upload_id=job_id, sent=len(PDF), size=len(PDF))
    assert len(breaking.seen) > at, "the fault happened"


async def test_an_upload_goes_on_in_another_process_from_where_it_was(service: ClientInProcess, tmp_path: Path) -> None:
    file = tmp_path / "scan.pdf"
    file.write_bytes(PDF)
    begun: list[Progress] = []
    client, _ = through(service, dict.fromkeys(range(4, 100), "before"))
    impatient = AsyncClient("http://localhost", user=ADA, patience=0.0, http=client._http)
    with pytest.raises(Unreachable):
        await impatient.upload(file, on_progress=begun.append)
    assert begun[-1].sent == 3000

    client, breaking = through(service, {})
    job_id = await client.upload(file, resume=begun[-1].upload_id)
    assert job_id == begun[-1].upload_id
    assert breaking.seen[0].startswith("HEAD")
    assert len([line for line in breaking.seen if line.startswith("PATCH")]) == 3
    assert (await stored(service, job_id))[0] == PDF
    assert await client.upload(file, resume=job_id) == job_id, "it has become a job: nothing is sent"


async def test_an_upload_of_another_size_or_one_that_is_gone_begins_anew(service: ClientInProcess) -> None:
    client, _ = through(service, {})
    first = await client.upload(PDF)
    for resume in (first, "0" * 32):
        other = await client.upload(PDF + b"more", resume=resume)
        assert other not in (first, resume)
        assert (await stored(service, other))[0] == PDF + b"more"


async def test_a_file_that_becomes_shorter_is_the_callers_to_mend(service: ClientInProcess, tmp_path: Path) -> None:
    file = tmp_path / "scan.pdf"
    file.write_bytes(PDF)

    def shorten(progress: Progress) -> None:
        if progress.sent:
            file.write_bytes(PDF[:100])

    client, _ = through(service, {})
    with pytest.raises(UploadFailed, match=r"scan\.pdf became shorter"):
        await client.upload(file, on_progress=shorten)
