"""The result of a job in every form, by `format` and by `Accept`, of pages of every kind."""

import asyncio
import csv
import io
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pymupdf
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # publishes no types
from PIL import Image

from libs.fanout import REQUESTS_AT_ONCE
from libs.jobstate import intake as intakes
from libs.jobstate import outcome as outcomes
from libs.jobstate import record
from libs.jobstate.commit import commit
from libs.jobstate.deletion import delete
from libs.jobstate.ending import section
from libs.jobstate.intake import Intake
from libs.jobstate.job import Job
from libs.jobstate.outcome import OutcomeStatus, PageOutcome
from libs.page.block import Block, BlockKind, Cell, Source
from libs.page.markdown import to_markdown
from libs.storage import layout
from libs.storage.errors import OutOfSpace
from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles, create_session
from libs.storage.store import Stored
from libs.taskqueue.queue import EXTRACT_QUEUE
from libs.taskqueue.task import OcrTask
from services.web.config import WebConfig
from services.web.outputs.result import as_html, as_json, as_text
from services.web.render.png import encode_png
from services.web.service import Web
from tests.documents import pdf
from tests.inprocess import ClientInProcess, configured, outward_client
from tests.jobs import INTAKE, extracted
from tests.waiting import until

# Only a part of it is typed.
mupdf: Any = pymupdf

OWNER = {"X-User-Email": INTAKE.user_email}
BLOCKS = (
    Block(kind=BlockKind.PAGE_HEADER, text="The minutes"),
    Block(kind=BlockKind.HEADING, text="Prices <2026>", level=2, box=(1, 2, 3, 4)),
    Block(kind=BlockKind.PARAGRAPH, text="Before the table"),
    Block(
        kind=BlockKind.TABLE,
        cells=(
            Cell(row=0, column=0, text="Tea, green", header=True),
            Cell(row=0, column=1, text='1" & <b>', header=True),
            Cell(row=1, column=0, text="wide", column_span=2),
        ),
    ),
    Block(kind=BlockKind.TABLE, cells=(Cell(row=0, column=0, text="a"), Cell(row=0, column=1, text="b|c"))),
    Block(kind=BlockKind.PARAGRAPH, text="After it"),
    Block(kind=BlockKind.FIGURE, box=(10, 20.4, 30.2, 999)),
    Block(kind=BlockKind.FIGURE, box=(500, 500, 600, 600)),
    Block(kind=BlockKind.FIGURE),
    Block(kind=BlockKind.PAGE_NUMBER, text="17"),
)
PAGES = [
    PageOutcome(
        page_no=1,
        run=1,
        status=OutcomeStatus.COMPLETED,
        text=to_markdown(BLOCKS),
        blocks=BLOCKS,
        source=Source.OCR,
        width=100,
        height=200,
        engine="rapidocr",
    ),
    PageOutcome(page_no=2, run=1, status=OutcomeStatus.FAILED, error="It is --> torn & <b>bad</b>."),
    PageOutcome(page_no=3, run=1, status=OutcomeStatus.COMPLETED, blank=True),
    # As stored before there were blocks, and as of an engine that gives only Markdown.
    PageOutcome(
        page_no=4,
        run=1,
        status=OutcomeStatus.COMPLETED,
        text="Before\n<table><tr><td>a</td><td>b</td></tr></table>\nAfter **one** <script>alert(1)</script>",
    ),
]


PICTURE = (np.arange(200 * 100, dtype=np.uint32).reshape(200, 100) % 251).astype(np.uint8)


async def ended(store: MemoryStore) -> SessionFiles:
    """A job with an outcome for each of `PAGES`, combined; page 5 has lost its outcome."""
    files = await create_session(store, INTAKE.user_email)
    at = await store.now()
    asked: Intake = msgspec.structs.replace(INTAKE, session_id=files.session_id, created_at=at)
    numbers = tuple(range(1, len(PAGES) + 2))
    job = Job.opened(asked).load(at).plan(numbers, total_pages=9, batch_size=9, parallelism=1, at=at)
    job = job.rendered(dict.fromkeys(numbers, at), at).extracted(at)
    job = job.settled({outcome.page_no: outcome.brief() for outcome in PAGES}, at)
    job = job.settled({numbers[-1]: PAGES[0].brief()}, at).combining(at).end(at)
    await store.write(files.intake_path, intakes.encode(asked))
    await store.write(files.record_path, record.encode(job))
    for outcome in PAGES:
        await store.write(files.page_outcome_path(outcome.page_no), outcomes.encode(outcome))
    await files.save_page_image(1, encode_png(PICTURE))
    await files.save_combined("\n".join(section(n, one) for n, one in zip(numbers, [*PAGES, None], strict=True)))
    return files


class Results:
    """The result of one job, as its owner asks for it."""

    def __init__(self, client: ClientInProcess, files: SessionFiles) -> None:
        self.client = client
        self.files = files
        self.address = f"/api/jobs/{files.session_id}/result"

    async def get(self, query: str = "", status: int = 200, **headers: str) -> httpx.Response:
        answer = await self.client.get(self.address + query, headers={**OWNER, **headers})
        assert answer.status_code == status, answer.text
        return answer


@pytest.fixture
async def results() -> AsyncIterator[Results]:
    async with served(MemoryStore()) as found:
        yield found


@asynccontextmanager
async def served(store: MemoryStore) -> AsyncIterator[Results]:
    async with outward_client() as outward:
        yield Results(configured(WebConfig(), store, outward), await ended(store))


async def test_markdown_marks_every_page_and_leaves_running_heads_out(results: Results) -> None:
    text = (await results.get()).text
    assert [line for line in text.split("\n") if line.startswith("<!--")] == [
        "<!-- page 1 -->",
        "<!-- page 2 failed: It is - -> torn & <b>bad</b>. -->",
        "<!-- page 3 blank -->",
        "<!-- page 4 -->",
        "<!-- page 5 failed: not read -->",
    ]
    assert "The minutes" not in text
    assert text == (await results.get("?format=md&headers=false&tables=html")).text


async def test_markdown_has_running_heads_where_they_are_asked_for(results: Results) -> None:
    text = (await results.get("?format=md&headers=true")).text
    assert text.startswith("<!-- page 1 -->\nThe minutes\n\n## Prices <2026>\n")
    assert "\n\n17\n\n<!-- page 2 failed" in text
    assert "\n<!-- page 3 blank -->\n" in text


async def test_tables_without_spans_can_be_pipes(results: Results) -> None:
    text = (await results.get("?tables=pipes")).text
    assert "| a | b\\|c |\n| --- | --- |" in text
    assert text.count("<table>") == 1


async def test_plain_text_keeps_tables_in_their_place(results: Results) -> None:
    pages = (await results.get("?format=txt")).text.split("\f")
    assert pages == [
        'Prices <2026>\n\nBefore the table\n\nTea, green\t1" & <b>\nwide\t\n\na\tb|c\n\nAfter it\n',
        "[page 2 failed: It is --> torn & <b>bad</b>.]\n",
        "\n",
        "Before\n\na\tb\n\nAfter one <script>alert(1)</script>\n",
        "[page 5 failed: not read]\n",
    ]
    assert (await results.get("?format=txt&headers=true")).text.startswith("The minutes\n\n")


async def test_html_is_one_document_in_which_nothing_of_the_pages_is_markup(results: Results) -> None:
    answer = await results.get("?format=html")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.text.startswith("<!doctype html>\n")
    assert answer.text.endswith("</html>\n")
    assert "<h2>Prices &lt;2026&gt;</h2>" in answer.text
    assert "p,li,th,td{unicode-bidi:plaintext}" in answer.text, "Hebrew runs to the left, and ends with its full stop"
    assert '<tr><th>Tea, green</th><th>1" &amp; &lt;b&gt;</th></tr>' in answer.text
    assert "<p>Page 2 failed: It is --&gt; torn &amp; &lt;b&gt;bad&lt;/b&gt;.</p>" in answer.text
    assert "<strong>one</strong> &lt;script&gt;" in answer.text
    assert "<script" not in answer.text
    assert [f'<section id="page-{n}">' in answer.text for n in range(1, 7)] == [True] * 5 + [False]


async def test_json_has_every_page_as_the_schema_describes_it(results: Results) -> None:
    document: dict[str, Any] = (await results.get("?format=json")).json()
    schema = (await results.client.get("/schemas/page.json")).json()
    validator = Draft202012Validator(schema)
    assert [page["page_no"] for page in document["pages"]] == [1, 2, 3, 4, 5]
    assert [error.message for page in document["pages"] for error in validator.iter_errors(page)] == []
    assert [page["status"] for page in document["pages"]] == ["completed", "failed", "completed", "completed", "failed"]
    kinds = [block["kind"] for block in document["pages"][0]["blocks"]]
    assert kinds == [block.kind for block in BLOCKS]
    assert [block["kind"] for block in document["pages"][3]["blocks"]] == ["paragraph", "table", "paragraph"]
    assert document["file_info"]["filename"] == "a.pdf"
    assert (document["pages"][0]["width"], document["pages"][0]["source"]) == (100, "ocr")


async def test_archive_has_all_forms_and_each_table_as_csv(results: Results) -> None:
    answer = await results.get("?format=zip")
    assert answer.headers["content-type"] == "application/zip"
    assert 'filename="a.zip"' in answer.headers["content-disposition"]
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    tables = ["tables/page_001_table_1.csv", "tables/page_001_table_2.csv", "tables/page_004_table_1.csv"]
    figure = "figures/page_001_figure_1.png"
    assert archive.namelist() == ["a.md", "a.txt", "a.html", "a.json", *tables[:2], figure, tables[2]]
    cut = np.asarray(Image.open(io.BytesIO(archive.read(figure))))
    assert (cut == PICTURE[20:200, 10:30]).all()
    for form in ("md", "txt", "html", "json"):
        assert archive.read(f"a.{form}") == (await results.get(f"?format={form}")).content
    rows = list(csv.reader(io.StringIO(archive.read(tables[0]).decode(), newline="")))
    assert rows == [["Tea, green", '1" & <b>'], ["wide", ""]]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "text/markdown"),
        ("", "text/markdown"),
        ("text/*", "text/markdown"),
        ("application/json", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html"),
        ("text/html;q=0.1, text/plain;q=0.5", "text/plain"),
        ("image/gif, application/zip;q=0.2", "application/zip"),
        ("image/png, text/markdown;q=0, */*;q=0.1", "text/markdown"),
    ],
)
async def test_form_follows_from_accept_where_the_address_names_none(results: Results, accept: str, kind: str) -> None:
    answer = await results.get(Accept=accept)
    assert answer.headers["content-type"].split(";")[0] == kind
    assert answer.headers["vary"] == "Accept"
    named = await results.get("?format=txt", Accept=accept)
    assert named.headers["content-type"].split(";")[0] == "text/plain"


async def test_what_does_not_exist_is_refused_with_what_does(results: Results) -> None:
    refused = await results.get(status=406, Accept="image/png")
    assert refused.json()["detail"].startswith("The result comes as text/markdown, text/plain")
    for query in ("?format=docx", "?format=", "?headers=yes", "?tables=latex"):
        problem = (await results.get(query, status=422)).json()
        assert problem["hint"]


async def test_head_says_what_would_come_without_making_it(results: Results) -> None:
    answer = await results.client.head(results.address + "?format=zip", headers=OWNER)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "application/zip"
    assert "content-length" not in answer.headers


async def cancel(files: SessionFiles, read: int) -> None:
    """Retry all pages of the job of `ended` but the first `read`, and cancel it before they are read."""
    job = record.decode((await files.store.read(files.record_path)).data)
    at = await files.store.now()
    job = job.retry(list(job.pages)[read:], at).cancel(at)
    await files.store.write(files.record_path, record.encode(job))
    for page_no in list(job.pages)[read:]:
        pending = PageOutcome(page_no=page_no, run=job.run, status=OutcomeStatus.PENDING)
        await files.store.write(files.page_outcome_path(page_no), outcomes.encode(pending))


async def test_a_cancelled_job_has_the_pages_that_were_read(results: Results) -> None:
    await cancel(results.files, 2)
    combined = (await results.files.store.read(results.files.combined_path)).data.decode()
    assert "<!-- page 4 -->" in combined, "of the run before"

    text = (await results.get()).text
    assert text.split("<!-- page 2")[0] == combined.split("<!-- page 2")[0]
    assert [line for line in text.split("\n") if line.startswith("<!--")] == [
        "<!-- page 1 -->",
        "<!-- page 2 failed: It is - -> torn & <b>bad</b>. -->",
        "<!-- page 3 pending -->",
        "<!-- page 4 pending -->",
        "<!-- page 5 pending -->",
    ]
    assert (await results.get("?headers=true")).text.startswith("<!-- page 1 -->\nThe minutes\n")
    assert (await results.get("?format=txt")).text.split("\f")[2:] == [f"[page {n} not read]\n" for n in (3, 4, 5)]
    assert "<p>Page 3 not read</p>" in (await results.get("?format=html")).text
    document = (await results.get("?format=json")).json()
    validator = Draft202012Validator((await results.client.get("/schemas/page.json")).json())
    assert [error.message for page in document["pages"] for error in validator.iter_errors(page)] == []
    assert [page["status"] for page in document["pages"]] == ["completed", "failed", "pending", "pending", "pending"]
    archive = zipfile.ZipFile(io.BytesIO((await results.get("?format=zip")).content))
    assert archive.read("a.md").decode() == text
    assert "figures/page_001_figure_1.png" in archive.namelist()


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


async def test_a_page_read_just_before_the_cancellation_counts_though_the_record_lacks_it(results: Results) -> None:
    await cancel(results.files, 0)
    problem = (await results.get(status=409)).json()
    assert problem["detail"] == "The job was cancelled before a page was read."
    assert "/retry" in problem["hint"]

    late = msgspec.structs.replace(PAGES[0], run=2)
    await results.files.store.write(results.files.page_outcome_path(1), outcomes.encode(late))
    assert "Prices" in (await results.get()).text


async def runs_again(files: SessionFiles) -> None:
    """Pages 3 and 4 are read again, and page 3 has been; page 1 has just been, page 4 has its outcome of before.

    The record does not show what has just been read.
    """
    at = await files.store.now()
    await commit(files, lambda job: job.retry((1, 3, 4), at))
    for outcome in (PAGES[0], PAGES[2]):
        late = msgspec.structs.replace(outcome, run=2)
        await files.store.write(files.page_outcome_path(outcome.page_no), outcomes.encode(late))


async def test_a_running_job_has_what_there_is_and_marks_the_rest_where_that_is_asked_for(results: Results) -> None:
    await runs_again(results.files)
    for form in ("md", "txt", "html", "json"):
        assert (await results.get(f"?format={form}", status=409)).json()["title"] == "Not done"
        assert (await results.get(f"?format={form}&partial=false", status=409)).json()["title"] == "Not done"

    answer = await results.get("?partial=true")
    assert (answer.headers["gnosis-partial"], answer.headers["cache-control"]) == ("true", "no-store")
    marks = [line for line in answer.text.split("\n") if line.startswith("<!--")]
    assert marks == [
        "<!-- page 1 -->",
        "<!-- page 2 failed: It is - -> torn & <b>bad</b>. -->",
        "<!-- page 3 blank -->",
        "<!-- page 4 pending -->",
        "<!-- page 5 failed: not read -->",
    ]
    assert answer.text.startswith("<!-- page 1 -->\n## Prices <2026>\n")
    assert (await results.get("?partial=true&headers=true")).text.startswith("<!-- page 1 -->\nThe minutes\n")
    pages = (await results.get("?partial=true&format=txt")).text.split("\f")
    assert (len(pages), pages[3]) == (5, "[page 4 pending]\n")
    html = (await results.get("?partial=true&format=html")).text
    assert "<p>Page 4 pending</p>" in html
    assert [html.count(f'<section id="page-{n}">') for n in range(1, 7)] == [1, 1, 1, 1, 1, 0]
    document = (await results.get("?partial=true&format=json")).json()
    assert document["status"] == "processing"
    validator = Draft202012Validator((await results.client.get("/schemas/page.json")).json())
    assert [error.message for page in document["pages"] for error in validator.iter_errors(page)] == []
    assert [(page["page_no"], page["status"]) for page in document["pages"]] == [
        (1, "completed"),
        (2, "failed"),
        (3, "completed"),
        (4, "pending"),
        (5, "failed"),
    ]
    head = await results.client.head(f"{results.address}?partial=true", headers=OWNER)
    assert (head.status_code, head.headers["gnosis-partial"]) == (200, "true")


async def test_an_ended_job_has_the_same_result_where_a_partial_one_would_do(results: Results) -> None:
    for form in ("md", "txt", "html", "json"):
        whole = await results.get(f"?format={form}")
        asked = await results.get(f"?format={form}&partial=true")
        assert asked.text == whole.text
        assert asked.headers["gnosis-partial"] == "false"
        assert "gnosis-partial" not in whole.headers


async def test_a_job_whose_document_is_not_open_yet_has_no_partial_result(results: Results) -> None:
    intake = intakes.decode((await results.files.store.read(results.files.intake_path)).data)
    await results.files.store.write(results.files.record_path, record.encode(Job.opened(intake)))
    assert (await results.get("?partial=true", status=409)).json()["detail"] == "The document has not been opened yet."


@pytest.mark.parametrize("query", ["partial=yes", "partial=", "partial=true&format=zip", "partial=true&format=pdf"])
async def test_a_partial_result_that_there_cannot_be_is_refused(results: Results, query: str) -> None:
    problem = (await results.get(f"?{query}", status=422)).json()
    assert (problem["title"], bool(problem["hint"])) == ("Bad partial", True)


async def test_old_page_has_blocks_and_html_made_from_its_markdown(results: Results) -> None:
    address = results.address.removesuffix("result") + "pages/4"
    page = (await results.client.get(address, headers={**OWNER, "Accept": "application/json"})).json()
    assert [block["kind"] for block in page["blocks"]] == ["paragraph", "table", "paragraph"]
    assert page["text"] == page["markdown"] == PAGES[3].text
    html = (await results.client.get(address, headers={**OWNER, "Accept": "text/html"})).text
    assert "<td>a</td>" in html
    assert "<script" not in html


class CountingStore(MemoryStore):
    """Counts the outcomes that are read."""

    def __init__(self) -> None:
        super().__init__()
        self.read_outcomes = 0

    async def read(self, path: str) -> Stored:
        self.read_outcomes += path.endswith("_result.json")
        return await super().read(path)


@pytest.mark.parametrize("form", [as_text, as_html, as_json])
async def test_result_is_made_while_it_is_sent_and_pages_are_not_held(form: Any) -> None:
    store = CountingStore()
    files = await create_session(store, INTAKE.user_email)
    job = extracted(500)
    for page_no in job.pages:
        page = msgspec.structs.replace(PAGES[0], page_no=page_no)
        await store.write(files.page_outcome_path(page_no), outcomes.encode(page))
    sent = 0
    async for _ in form(files, job):
        sent += 1
        assert store.read_outcomes <= sent + REQUESTS_AT_ONCE
    assert (sent >= 500, store.read_outcomes) == (True, 500)


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
