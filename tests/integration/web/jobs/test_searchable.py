"""The result as a searchable PDF, which is made when it is asked for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pymupdf
import pytest

from libs.jobstate import record
from libs.jobstate.commit import commit
from libs.jobstate.deletion import delete
from libs.storage import layout
from libs.storage.errors import OutOfSpace
from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles
from libs.taskqueue.queue import EXTRACT_QUEUE
from libs.taskqueue.task import OcrTask
from services.web.service import Web
from tests.documents import pdf
from tests.integration.web.jobs.results import Results, cancel, served
from tests.waiting import until

# Only a part of it is typed.
mupdf: Any = pymupdf


async def make_pdf(results: Results, *, run: int = 1) -> None:
    """Do what the queue's push of the task does, once it is enqueued."""
    service, files = results.client.web, results.files
    await until(lambda: _enqueued(service))
    task = OcrTask(session_id=files.session_id, user_hash=files.user_hash, run=run, searchable=True)
    assert await service.extractor.process(task, "name")


def _enqueued(service: Web) -> int:
    counts = service.queue.counts(EXTRACT_QUEUE)
    return counts.pending if counts else 0


async def test_a_searchable_pdf_is_made_when_it_is_asked_for_and_kept(results: Results, tmp_path: Path) -> None:
    files = results.files
    document = pdf(tmp_path / "a.pdf", 9).read_bytes()
    await files.store.write(files.path("a.pdf"), document)
    asking = asyncio.create_task(results.get("?format=pdf"))
    await make_pdf(results)

    answer = await asking
    assert answer.headers["Content-Type"] == "application/pdf"
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="a.pdf"')
    assert answer.content.startswith(document)
    with mupdf.open(stream=answer.content) as made:
        assert "Prices <2026>" in made[0].get_text()
        assert "After one" in made[3].get_text(), "text without places is on its page, too"
        assert made[1].get_text() == "Page 2 of the test document.\n", "a failed page is as it was"

    # Not made again, however it is asked for.
    assert (await results.get(Accept="application/pdf")).content == answer.content
    assert _enqueued(results.client.web) == 1


async def test_a_searchable_pdf_is_made_again_after_the_job_has_changed(results: Results, tmp_path: Path) -> None:
    files = results.files
    await files.store.write(files.path("a.pdf"), pdf(tmp_path / "a.pdf", 9).read_bytes())
    await files.store.write(files.searchable_path, b"of an earlier run")
    job = record.decode((await files.store.read(files.record_path)).data)
    made_at = (await files.store.stat(files.searchable_path)).updated_at
    later = msgspec.structs.replace(job, updated_at=made_at + timedelta(microseconds=1))
    await files.store.write(files.record_path, record.encode(later))
    asking = asyncio.create_task(results.get("?format=pdf"))
    await make_pdf(results)

    assert (await asking).content.startswith(b"%PDF-")


async def test_a_cancelled_job_has_a_searchable_pdf_of_the_pages_that_were_read(
    results: Results, tmp_path: Path
) -> None:
    files = results.files
    await cancel(files, 2)
    await files.store.write(files.path("a.pdf"), pdf(tmp_path / "a.pdf", 9).read_bytes())
    asking = asyncio.create_task(results.get("?format=pdf"))
    await make_pdf(results, run=2)
    with mupdf.open(stream=(await asking).content) as made:
        assert "Prices <2026>" in made[0].get_text()
        assert made[3].get_text() == "Page 4 of the test document.\n"


class Meanwhile(MemoryStore):
    """Lets something happen to the session when its searchable PDF begins to be written."""

    def __init__(self, happens: Callable[[SessionFiles], Awaitable[None]]) -> None:
        super().__init__()
        self._happens = happens

    async def write(self, path: str, data: bytes | AsyncIterator[bytes], *, if_generation: int | None = None) -> int:
        if path.endswith(layout.SEARCHABLE):
            _, user_hash, session_id, _ = path.split("/")
            await self._happens(SessionFiles(store=self, user_hash=user_hash, session_id=session_id))
        return await super().write(path, data, if_generation=if_generation)


async def retry(files: SessionFiles) -> None:
    """As the owner retries a page."""
    at = await files.store.now()
    await commit(files, lambda job: job.retry([1], at))


async def fill(files: SessionFiles) -> None:
    """The disk is full."""
    raise OutOfSpace(files.searchable_path)


@pytest.mark.parametrize("happens", [retry, delete])
async def test_a_searchable_pdf_is_not_stored_when_its_job_was_retried_or_deleted_meanwhile(
    happens: Callable[[SessionFiles], Awaitable[None]], tmp_path: Path
) -> None:
    async with served(Meanwhile(happens)) as results:
        files, extractor = results.files, results.client.web.extractor
        await files.store.write(files.path("a.pdf"), pdf(tmp_path / "a.pdf", 9).read_bytes())
        task = OcrTask(session_id=files.session_id, user_hash=files.user_hash, run=1, searchable=True)
        assert not await extractor.process(task, "name")
        left = [stat.path async for stat in files.store.list(files.prefix)]
    assert files.searchable_path not in left
    assert bool(left) == (happens is retry), "of a deleted job nothing is left"


async def test_a_searchable_pdf_for_which_there_is_no_room_says_so(tmp_path: Path) -> None:
    async with served(Meanwhile(fill)) as results:
        files = results.files
        await files.store.write(files.path("a.pdf"), pdf(tmp_path / "a.pdf", 9).read_bytes())
        asking = asyncio.create_task(results.get("?format=pdf", 422))
        await make_pdf(results)
        assert "no room" in (await asking).json()["detail"]


async def test_a_searchable_pdf_that_cannot_be_made_says_why(results: Results) -> None:
    asking = asyncio.create_task(results.get("?format=pdf", 422))
    await make_pdf(results)

    problem = (await asking).json()
    assert problem["title"] == "No searchable PDF"
    assert problem["detail"] == "The uploaded file is missing from the storage. Upload it again."
    assert (await results.get("?format=md")).status_code == 200


async def test_a_searchable_pdf_that_takes_long_is_to_be_asked_for_again(
    results: Results, let_time_pass: Callable[[float], None]
) -> None:
    asking = asyncio.create_task(results.get("?format=pdf", 503))
    await until(lambda: _enqueued(results.client.web))
    let_time_pass(60)

    answer = await asking
    assert answer.headers["Retry-After"] == "5"
    assert answer.json()["title"] == "Being made"
