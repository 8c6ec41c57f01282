"""The client against running services."""

import hashlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gnosis_ocr import (
    ENDED,
    FORMS,
    ApiError,
    AsyncClient,
    Client,
    DoneEvent,
    Event,
    NotRead,
    PageEvent,
    Progress,
    Unreachable,
)
from tests import ROOT
from tests.documents import pdf
from tests.running import Running, free_port, running
from tests.scripted import Script

CLIENT = ROOT / "clients" / "python"
MAGIC = {"zip": b"PK", "pdf": b"%PDF", "json": b"{", "html": b"<!doctype html>", "md": b"<!-- page 1 -->", "txt": b""}


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("services"), script=Script(fail=(3,), trust={2: 0.5})) as services:
        yield services


@pytest.fixture
def gnosis(services: Running) -> Iterator[Client]:
    with Client(services.url) as client:
        yield client


def test_pages_come_one_by_one_and_every_form_can_be_downloaded(gnosis: Client, tmp_path: Path) -> None:
    job_id = gnosis.upload(pdf(tmp_path / "four.pdf", 4))
    pages = {page.page_no: page for page in gnosis.pages(job_id)}

    assert sorted(pages) == [1, 2, 3, 4]
    assert [number for number, page in sorted(pages.items()) if page.status == "failed"] == [3]
    assert pages[1].text.startswith("Page 1")
    assert gnosis.page(job_id, 1) == pages[1]
    assert gnosis.image(job_id, 1).startswith(b"\x89PNG")
    assert gnosis.image(job_id, 1, width=160)[8:12] == b"WEBP"
    job = gnosis.wait(job_id)
    assert (job.status, job.failed_pages, job.pages_to_check) == ("partial", (3,), (2,))
    for form in FORMS:
        target = gnosis.download(job_id, tmp_path / f"result.{form}", form)
        assert target.read_bytes().startswith(MAGIC[form])
    assert gnosis.result(job_id) == (tmp_path / "result.md").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["four.pdf", *(f"result.{f}" for f in FORMS)])


def test_a_job_is_listed_cancelled_retried_and_deleted(gnosis: Client, tmp_path: Path) -> None:
    job_id = gnosis.upload(pdf(tmp_path / "three.pdf", 3))
    records = list(gnosis.watch(job_id))
    assert [job.status in ENDED for job in records] == [False] * (len(records) - 1) + [True]
    assert job_id in [summary.job_id for summary in gnosis.jobs()]
    found = list(gnosis.jobs(status=("partial", "failed"), name="THREE"))
    assert [(summary.job_id, summary.status) for summary in found] == [(job_id, "partial")]
    assert list(gnosis.jobs(status=("queued",), name="three")) == []
    assert gnosis.cancel(job_id).status == "partial", "it has ended"

    assert gnosis.retry(job_id).run == 2
    assert gnosis.wait(job_id).pages[3].run == 2
    assert gnosis.retry(job_id, (1,)).run == 3
    gnosis.wait(job_id)

    assert gnosis.retry(job_id, [2], ocr="force", dpi=200).run == 4
    page = gnosis.wait(job_id).pages[2]
    assert page.reread is not None
    assert (page.reread.ocr, page.reread.dpi, page.image) == ("force", 200, "page_002_200dpi.png")
    second = gnosis.page(job_id, 2)
    assert [(reading.run, reading.dpi) for reading in second.readings] == [(1, 150), (4, 200)]
    first = gnosis.page(job_id, 2, run=1)
    assert (first.run, first.image, second.run, second.image) == (1, "page_002.png", 4, page.image)
    assert first.text != second.text
    with pytest.raises(ApiError) as unknown:
        gnosis.page(job_id, 2, run=2)
    assert (unknown.value.status, unknown.value.problem.title) == (404, "Reading not found")
    with pytest.raises(ApiError) as unknown:
        gnosis.retry(job_id, engine="none of ours")
    assert unknown.value.status == 422

    gnosis.delete(job_id)
    with pytest.raises(ApiError) as caught:
        gnosis.job(job_id)
    assert (caught.value.status, caught.value.problem.title) == (404, "Job not found")
    assert caught.value.problem.hint


def test_a_refusal_an_empty_address_and_a_job_without_result_are_told_apart(gnosis: Client, tmp_path: Path) -> None:
    with pytest.raises(ApiError) as caught:
        gnosis.read(b"plain words")
    assert caught.value.status == 415
    with pytest.raises(NotRead) as unread:
        gnosis.read(b"%PDF-1.7\nnothing", filename="broken.pdf")
    assert (unread.value.job.status, unread.value.job.file_info.filename) == ("failed", "broken.pdf")
    assert str(unread.value) == unread.value.job.error
    assert unread.value.job.job_id not in [summary.job_id for summary in gnosis.jobs()]

    nowhere = f"http://127.0.0.1:{free_port()}"
    with Client(nowhere, patience=0.0) as other:
        assert not other.is_gnosis()
        with pytest.raises(Unreachable, match=nowhere):
            other.read(pdf(tmp_path / "one.pdf", 1))
    assert gnosis.is_gnosis()


class WithoutEvents(httpx.HTTPTransport):
    """A service from before there were events."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            return httpx.Response(404, request=request)
        return super().handle_request(request)


def test_pages_of_a_service_without_events_come_by_its_status(services: Running, tmp_path: Path) -> None:
    with httpx.Client(transport=WithoutEvents()) as http:
        gnosis = Client(services.url, http=http)
        job_id = gnosis.upload(pdf(tmp_path / "two.pdf", 2))
        assert sorted(page.page_no for page in gnosis.pages(job_id)) == [1, 2]
        with pytest.raises(ApiError):
            list(gnosis.events(job_id))


@pytest.mark.slow
def test_events_go_on_without_a_gap_when_web_is_killed_and_started_again(tmp_path: Path) -> None:
    with running(tmp_path, script=Script(seconds=0.3)) as services, Client(services.url, patience=120.0) as gnosis:
        job_id = gnosis.upload(pdf(tmp_path / "eight.pdf", 8), ocr="force")
        seen: list[int] = []
        last: Event | None = None
        for event in gnosis.events(job_id):
            last = event
            if isinstance(event, PageEvent):
                seen.append(event.page_no)
                if len(seen) in (2, 5):
                    services.kill("web")
                    services.start("web")
        assert sorted(seen) == [1, 2, 3, 4, 5, 6, 7, 8]
        assert last == DoneEvent(status="completed", run=1, error=None)
        assert list(gnosis.events(job_id))[-1] == last, "they can be asked for again"


async def test_the_asynchronous_client_does_the_same(services: Running, tmp_path: Path) -> None:
    async with AsyncClient(services.url) as gnosis:
        assert (await gnosis.version()).mode == "local"
        job_id = await gnosis.upload(pdf(tmp_path / "two.pdf", 2))
        assert {page.page_no async for page in gnosis.pages(job_id)} == {1, 2}
        told = [event async for event in gnosis.events(job_id)]
        assert sorted(event.page_no for event in told if isinstance(event, PageEvent)) == [1, 2]
        assert isinstance(told[-1], DoneEvent)
        target = await gnosis.download(job_id, tmp_path / "two.md")
        assert target.read_bytes() == await gnosis.result(job_id)
        assert (await gnosis.retry(job_id, [1], ocr="force")).run == 2
        assert (await gnosis.wait(job_id)).status == "completed"
        assert (await gnosis.page(job_id, 1, run=1)).run == 1
        assert [job.status async for job in gnosis.watch(job_id)] == ["completed"]
        await gnosis.delete(job_id)
        assert (await gnosis.read(tmp_path / "two.pdf", pages="2")).startswith("<!-- page 2 -->")
        assert [summary async for summary in gnosis.jobs() if summary.job_id == job_id] == []


def test_every_example_of_the_readme_runs(services: Running, tmp_path: Path) -> None:
    pdf(tmp_path / "scan.pdf", 3)
    examples = re.findall(r"^```python\n(.*?)^```", (CLIENT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(examples) == 6
    for example in examples:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", example.replace("http://127.0.0.1:7799", services.url)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(CLIENT)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, example + done.stderr
        assert done.stdout
    assert "Supported: PDF" in done.stdout
    assert (tmp_path / "scan.zip").stat().st_size > 0


def digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


@pytest.mark.slow
@pytest.mark.parametrize("size", [40_000_000, pytest.param(1_000_000_000, marks=pytest.mark.slow)])
def test_an_upload_goes_on_when_web_is_killed_and_started_again(tmp_path: Path, size: int) -> None:
    file = tmp_path / "large.pdf"
    with file.open("wb") as large:
        large.write(b"%PDF-1.7\n")
        # Random within each block: a piece that came twice, or at a wrong place, changes the digest.
        for _ in range(0, size - 9, 1_000_000):
            large.write(os.urandom(min(1_000_000, size - large.tell())))
    with running(tmp_path, script=Script()) as services, Client(services.url, patience=120.0) as gnosis:
        due = [size // 4, size // 2, size - 1]
        killers: list[threading.Thread] = []

        def restart() -> None:
            services.kill("web")
            services.start("web")

        def kill_when_due(progress: Progress) -> None:
            # Beside the piece that is sent next, so that it breaks in the middle or soon after.
            if due and progress.sent >= due[0]:
                due.pop(0)
                killers.append(threading.Thread(target=restart))
                killers[-1].start()

        job_id = gnosis.upload(file, on_progress=kill_when_due)
        for killer in killers:
            killer.join()
        assert len(killers) >= 2
        stored = next(services.storage.glob(f"users/*/{job_id}/large.pdf"), None)
        assert stored is not None
        assert digest(stored) == digest(file)
        assert gnosis.wait(job_id).status == "failed", "it is no document"
        assert [summary.job_id for summary in gnosis.jobs()] == [job_id]
