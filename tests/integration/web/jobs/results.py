"""A job of five pages of every kind, and its owner who asks for the result."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import msgspec
import numpy as np

from libs.jobstate import intake as intakes
from libs.jobstate import outcome as outcomes
from libs.jobstate import record
from libs.jobstate.ending import section
from libs.jobstate.intake import Intake
from libs.jobstate.job import Job
from libs.jobstate.outcome import OutcomeStatus, PageOutcome
from libs.page.block import Block, BlockKind, Cell, Source
from libs.page.markdown import to_markdown
from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles, create_session
from services.web.config import WebConfig
from services.web.render.png import encode_png
from tests.inprocess import ClientInProcess, configured, outward_client
from tests.jobs import INTAKE

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


@asynccontextmanager
async def served(store: MemoryStore) -> AsyncIterator[Results]:
    async with outward_client() as outward:
        yield Results(configured(WebConfig(), store, outward), await ended(store))


async def cancel(files: SessionFiles, read: int) -> None:
    """Retry all pages of the job of `ended` but the first `read`, and cancel it before they are read."""
    job = record.decode((await files.store.read(files.record_path)).data)
    at = await files.store.now()
    job = job.retry(list(job.pages)[read:], at).cancel(at)
    await files.store.write(files.record_path, record.encode(job))
    for page_no in list(job.pages)[read:]:
        pending = PageOutcome(page_no=page_no, run=job.run, status=OutcomeStatus.PENDING)
        await files.store.write(files.page_outcome_path(page_no), outcomes.encode(pending))
