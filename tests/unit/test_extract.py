"""The extraction task, over a renderer that draws at once."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from libs.jobstate.commit import create, load
from libs.storage import layout
from libs.storage.errors import Unavailable
from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles
from libs.taskqueue.task import OcrTask
from services.web.extract import Extractor
from services.web.metrics import WebMetrics
from services.web.render import RenderedPage, RenderLimits
from services.web.sniff import FileType
from tests.unit.test_job import opened
from tests.unit.test_sweep import Taken


class Hiccup(MemoryStore):
    """A store that is away for one moment: when the second page is saved."""

    async def write(self, path: str, data: bytes | AsyncIterator[bytes], *, if_generation: int | None = None) -> int:
        if path.endswith(layout.page_image_name(2)) and not self.over:
            self.over = True
            raise Unavailable(path)
        return await super().write(path, data, if_generation=if_generation)

    over = False


class Sheets:
    total_pages = 3

    async def render(self, pages: Sequence[int]) -> AsyncIterator[RenderedPage]:
        for page_no in pages:
            yield RenderedPage(page_no=page_no, png=b"png", width=1, height=1)


@asynccontextmanager
async def sheets(
    path: Path, file_type: FileType, *, dpi: int, limits: RenderLimits, slots: asyncio.Semaphore
) -> AsyncIterator[Sheets]:
    yield Sheets()


async def test_extraction_goes_on_at_its_next_delivery_when_the_storage_was_away_for_a_moment() -> None:
    job = opened()
    files = SessionFiles(store=Hiccup(), user_hash=layout.user_hash(job.user_email), session_id=job.session_id)
    await files.store.write(files.path(job.file_info.raw_file), b"%PDF-1.7")
    await create(files, job)
    extractor = Extractor(
        store=files.store,
        queue=Taken(),
        limits=RenderLimits(),
        children=1,
        batch_size=10,
        parallelism=1,
        slice_seconds=300,
        lease_seconds=60,
        metrics=WebMetrics(CollectorRegistry()),
        opener=sheets,
    )
    task = OcrTask(session_id=job.session_id, user_email=job.user_email)
    with pytest.raises(Unavailable):
        await extractor.process(task, "task")
    assert await extractor.process(task, "task"), "its own lease must not be in its way"
    assert (await load(files)).extraction_complete
