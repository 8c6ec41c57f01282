"""The extraction task, over a renderer that draws at once."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from libs.jobstate import password
from libs.jobstate.active import Active, announce, encode
from libs.jobstate.commit import commit, create, load
from libs.jobstate.intake import PageOptions
from libs.jobstate.lease import take
from libs.jobstate.neighbours import Seat
from libs.jobstate.status import JobStatus
from libs.jobstate.turns import Turns
from libs.storage import layout
from libs.storage.errors import Unavailable
from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles, exists
from libs.taskqueue.queue import EXTRACT_QUEUE, OCR_QUEUE
from libs.taskqueue.task import OcrTask
from services.web.extract.extraction import ExtractContext, ExtractSettings
from services.web.extract.extractor import EXTRACT, Extractor
from services.web.metrics import WebMetrics
from services.web.render.document import RenderedPage, RenderLimits, Unreadable
from services.web.render.filetype import FileType
from services.web.render.protocol import Fault
from tests.jobs import opened
from tests.waiting import until


class Hiccup(MemoryStore):
    """A store that fails once: when the second page is saved."""

    async def write(self, path: str, data: bytes | AsyncIterator[bytes], *, if_generation: int | None = None) -> int:
        if path.endswith(layout.PAGE_IMAGE.format(2)) and not self.over:
            self.over = True
            raise Unavailable(path)
        return await super().write(path, data, if_generation=if_generation)

    over = False


class Sheets:
    total_pages = 3
    repaired = False

    async def render(self, pages: Sequence[int]) -> AsyncIterator[RenderedPage]:
        for page_no in pages:
            yield RenderedPage(page_no=page_no, png=b"png", width=1, height=1)


@asynccontextmanager
async def sheets(
    path: Path,
    file_type: FileType,
    *,
    dpi: int,
    limits: RenderLimits,
    slots: asyncio.Semaphore,
    password: str | None,
) -> AsyncIterator[Sheets]:
    yield Sheets()


@asynccontextmanager
async def locked(*arguments: object, password: str | None, **options: object) -> AsyncIterator[Sheets]:
    """A document that "secret" opens."""
    if password != "secret":
        fault = Fault.ENCRYPTED if password is None else Fault.WRONG_PASSWORD
        raise Unreadable(fault.value, fault)
    yield Sheets()


class Taken:
    """A `TaskQueue` that keeps which task was put on which queue."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, OcrTask]] = []

    async def enqueue(self, queue: str, task: OcrTask, *, name: str, delay_seconds: float = 0.0) -> None:
        self.taken.append((queue, task))


async def prepared(store: MemoryStore, *, extra_children: int = 0) -> tuple[SessionFiles, Extractor, Taken]:
    """A job that was just uploaded, and what extracts it."""
    job = opened()
    files = SessionFiles(store=store, user_hash=layout.user_hash(job.user_email), session_id=job.session_id)
    await store.write(files.path(job.file_info.raw_file), b"%PDF-1.7")
    await announce(files, run=1)
    await create(files, job)
    queue = Taken()
    extractor = Extractor(
        ExtractContext(
            store=store,
            queue=queue,
            settings=ExtractSettings(
                limits=RenderLimits(),
                batch_size=10,
                parallelism=1,
                slice_seconds=300,
                lease_seconds=60,
                extra_children=extra_children,
            ),
            metrics=WebMetrics(CollectorRegistry()),
            render_slots=asyncio.Semaphore(1),
            open_document=sheets,
        )
    )
    return files, extractor, queue


async def another_users_job(store: MemoryStore) -> SessionFiles:
    """It was just uploaded."""
    files = SessionFiles(store=store, user_hash="b" * 12, session_id="1" * 32)
    await store.write(files.path("a.pdf"), b"%PDF-1.7")
    await announce(files, run=1)
    await create(files, msgspec.structs.replace(opened(), session_id=files.session_id))
    return files


async def test_extraction_goes_on_at_its_next_delivery_when_the_storage_was_away_for_a_moment() -> None:
    files, extractor, _ = await prepared(Hiccup())
    task = OcrTask(session_id=files.session_id, user_email=(await load(files)).user_email)
    with pytest.raises(Unavailable):
        await extractor.process(task, "task")
    assert await extractor.process(task, "task"), "its own lease must not be in its way"
    assert (await load(files)).extraction_complete


async def test_a_call_that_finds_the_lease_held_enqueues_its_successor() -> None:
    files, extractor, queue = await prepared(MemoryStore())
    task = OcrTask(session_id=files.session_id, user_email=(await load(files)).user_email, wake=1)
    # The holder may have been started by an earlier wake: then it enqueues no successor itself.
    assert await take(files, EXTRACT, run=1, holder="another", seconds=60)
    assert not await extractor.process(task, "task")
    assert [(name, taken.wake) for name, taken in queue.taken] == [(EXTRACT_QUEUE, 1)]


async def test_chains_carry_the_number_of_the_newest_wake() -> None:
    files, extractor, queue = await prepared(MemoryStore())
    task = OcrTask(session_id=files.session_id, user_email=(await load(files)).user_email)
    # With an older number each chain would end after one call, in favour of the newer wake's.
    await files.store.write(layout.active_path(files.user_hash, files.session_id), encode(Active(wakes=1)))
    assert await extractor.process(task, "task")
    assert {(name, taken.wake) for name, taken in queue.taken} == {(OCR_QUEUE, 1)}


async def test_a_second_delivery_starts_the_chains_that_the_first_one_died_before() -> None:
    files, extractor, queue = await prepared(MemoryStore())
    task = OcrTask(session_id=files.session_id, user_email=(await load(files)).user_email)
    assert await extractor.process(task, "task")
    queue.taken.clear()
    assert not await extractor.process(task, "task")
    assert [name for name, _ in queue.taken] == [OCR_QUEUE]


async def test_each_page_is_drawn_at_the_resolution_that_its_retry_asked_for_and_no_other_is() -> None:
    files, extractor, queue = await prepared(MemoryStore())
    task = OcrTask(session_id=files.session_id, user_email=(await load(files)).user_email, run=9)
    assert await extractor.process(task, "task")
    at = await files.store.now()
    await commit(files, lambda job: job.cancel(at).retry([1], at, options=PageOptions(dpi=200)).cancel(at))
    await commit(files, lambda job: job.retry([3], at, options=PageOptions(dpi=300)))
    drawn: list[tuple[int, list[int]]] = []

    class Sized(Sheets):
        def __init__(self, dpi: int) -> None:
            self.dpi = dpi

        async def render(self, pages: Sequence[int]) -> AsyncIterator[RenderedPage]:
            drawn.append((self.dpi, list(pages)))
            async for page in super().render(pages):
                yield msgspec.structs.replace(page, png=b"at %d" % self.dpi)

    @asynccontextmanager
    async def sized(*arguments: object, dpi: int, **options: object) -> AsyncIterator[Sheets]:
        yield Sized(dpi)

    extractor._context = msgspec.structs.replace(extractor._context, open_document=sized)
    queue.taken.clear()
    assert await extractor.process(task, "task")
    assert [name for name, _ in queue.taken] == [EXTRACT_QUEUE], "the other resolution is its successor's"
    assert not (await load(files)).extraction_complete
    assert await extractor.process(queue.taken[0][1], "task")
    job = await load(files)
    assert drawn == [(200, [1]), (300, [3])]
    assert job.extraction_complete
    assert [page.image for page in job.pages.values()] == ["page_001_200dpi.png", "page_002.png", "page_003_300dpi.png"]
    assert (await files.store.read(files.page_image_path(1))).data == b"png", "the old one is kept"
    assert (await files.store.read(files.page_image_path(1, 200))).data == b"at 200"
    assert queue.taken[-1][0] == OCR_QUEUE


async def test_a_process_that_drains_leaves_the_rest_to_the_successor() -> None:
    files, extractor, queue = await prepared(MemoryStore())
    task = OcrTask(session_id=files.session_id, user_email=(await load(files)).user_email)
    extractor.drain()
    assert await extractor.process(task, "task")
    job = await load(files)
    assert [page.image is not None for page in job.pages.values()] == [True, False, False]
    assert not job.extraction_complete
    assert [name for name, _ in queue.taken] == [EXTRACT_QUEUE]
    assert await take(files, EXTRACT, run=1, holder="another", seconds=60), "the lease was released"


async def test_plan_of_an_earlier_run_is_not_written_into_a_later_one() -> None:
    files, extractor, _ = await prepared(MemoryStore())
    task = OcrTask(session_id=files.session_id, user_email=(await load(files)).user_email)

    @asynccontextmanager
    async def suspended(*arguments: object, **options: object) -> AsyncIterator[Sheets]:
        # Meanwhile the record was lost, and another process has made it anew.
        await commit(files, lambda job: msgspec.structs.replace(job, run=2, rebuilt=True))
        yield Sheets()

    extractor._context = msgspec.structs.replace(extractor._context, open_document=suspended)
    await extractor.process(task, "task")
    job = await load(files)
    assert (job.run, job.planned) == (2, False), "the later run plans with the outcomes that it finds"


async def test_guest_is_extracted_without_a_task_and_leaves_its_own_tasks_alone() -> None:
    files, extractor, queue = await prepared(MemoryStore())
    job = await extractor.find(files)
    assert job is not None
    await extractor.serve(files, job, Seat(Turns(1), files.user_hash, guest=True, waited=0.0, ends=lambda: False))
    assert (await load(files)).extraction_complete
    assert {name for name, _ in queue.taken} == {OCR_QUEUE}
    assert await extractor.find(files) is None


async def test_document_that_a_process_extracts_is_no_work_for_another() -> None:
    files, extractor, _ = await prepared(MemoryStore())
    assert await take(files, EXTRACT, run=1, holder="another", seconds=60)
    assert await extractor.find(files) is None


async def test_other_users_documents_are_extracted_while_a_searchable_pdf_waits_or_is_made() -> None:
    store = MemoryStore()
    files, extractor, queue = await prepared(store, extra_children=1)
    at = await store.now()
    await commit(files, lambda job: job.cancel(at))
    other = await another_users_job(store)
    async with extractor._context.render_slots:  # the only one
        task = OcrTask(session_id=files.session_id, user_hash=files.user_hash, searchable=True)
        making = asyncio.create_task(extractor.process(task, "task"))
        await until(lambda: queue.taken)
        making.cancel()
        await asyncio.gather(making, return_exceptions=True)
    assert (await load(other)).extraction_complete
    assert {taken.session_id for _, taken in queue.taken} == {other.session_id}


async def test_searchable_pdf_gives_way_to_the_document_of_a_user_whose_turn_it_is() -> None:
    store = MemoryStore()
    files, extractor, queue = await prepared(store)
    at = await store.now()
    await commit(files, lambda job: job.cancel(at))
    extractor._neighbours.turns.charge(files.user_hash, 1.0)
    other = await another_users_job(store)
    task = OcrTask(session_id=files.session_id, user_hash=files.user_hash, searchable=True)
    assert not await extractor.process(task, "task")
    assert (await load(other)).extraction_complete
    assert [taken.searchable for name, taken in queue.taken if name == EXTRACT_QUEUE] == [True], "it comes again"


async def protected(store: MemoryStore, secret: str | None) -> tuple[SessionFiles, Extractor, OcrTask]:
    """A job that was just uploaded with this password; its document is encrypted."""
    files, extractor, _ = await prepared(store)
    extractor._context = msgspec.structs.replace(extractor._context, open_document=locked)
    if secret is not None:
        await password.keep(files, secret)
        options = msgspec.structs.replace((await load(files)).options, has_password=True)
        await commit(files, lambda job: msgspec.structs.replace(job, options=options))
    task = OcrTask(session_id=files.session_id, user_email=(await load(files)).user_email)
    return files, extractor, task


async def is_kept(files: SessionFiles) -> bool:
    return await exists(files.store, files.password_path)


async def test_the_password_opens_the_document_and_is_gone_once_its_pages_are_rendered() -> None:
    files, extractor, task = await protected(MemoryStore(), "secret")
    assert await extractor.process(task, "task")
    job = await load(files)
    assert (job.extraction_complete, job.ended) == (True, False)
    assert not await is_kept(files)


async def test_the_password_stays_while_pages_are_to_be_rendered_by_a_later_call() -> None:
    files, extractor, task = await protected(MemoryStore(), "secret")
    extractor.drain()
    assert await extractor.process(task, "task")
    assert await is_kept(files)
    extractor._context.draining.clear()
    assert await extractor.process(task, "next")
    assert (await load(files)).extraction_complete
    assert not await is_kept(files)


@pytest.mark.parametrize(("secret", "code"), [(None, "encrypted"), ("other", "wrong_password")])
async def test_without_the_right_password_the_job_fails_and_keeps_none(secret: str | None, code: str) -> None:
    files, extractor, task = await protected(MemoryStore(), secret)
    assert await extractor.process(task, "task")
    job = await load(files)
    assert (job.status, job.error_code, job.error) == (JobStatus.FAILED, code, Fault[code.upper()].value)
    assert not await is_kept(files)
    assert not await exists(files.store, files.active_path)


async def test_a_second_delivery_forgets_the_password_that_the_first_one_died_before() -> None:
    class Stubborn(MemoryStore):
        """Fails once: when the password is to be deleted."""

        over = False

        async def delete(self, path: str, *, if_generation: int | None = None) -> None:
            if path.endswith(layout.PASSWORD) and not self.over:
                self.over = True
                raise Unavailable(path)
            await super().delete(path, if_generation=if_generation)

    files, extractor, task = await protected(Stubborn(), "secret")
    with pytest.raises(Unavailable):
        await extractor.process(task, "task")
    assert (await load(files)).extraction_complete
    assert await is_kept(files)
    await extractor.process(task, "task")
    assert not await is_kept(files)
