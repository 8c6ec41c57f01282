"""One reader of the storage for each watched job, whatever the number of its watchers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from libs.jobstate import deletion, outcome
from libs.jobstate import intake as intakes
from libs.jobstate.commit import commit, create
from libs.jobstate.intake import Intake
from libs.jobstate.job import Job
from libs.jobstate.lease import HeldLease, take
from libs.jobstate.page import PageStatus
from libs.storage.errors import NotFound, Unavailable
from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles, create_session
from services.serving.problem import Problem
from services.web.live.feed import Feed, Feeds, Stopping, View
from services.web.live.position import JobEvent, PageEvent, Position, news
from tests import jobs
from tests.jobs import START
from tests.waiting import until

OWNER = "reader@example.org"
#: Seconds between two looks: long enough that only `look_soon` makes a second one, or no time at all.
NEVER, AT_ONCE = 1000.0, 0.0


class CountedStore(MemoryStore):
    """Counts what is asked of it, and can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.away = False

    def __getattribute__(self, name: str) -> Any:
        if name in ("read", "stat", "list", "children", "open_read"):
            self.asked += 1
            if self.away:
                raise Unavailable(name)
        return super().__getattribute__(name)


@pytest.fixture
async def store() -> CountedStore:
    return CountedStore()


@pytest.fixture
async def files(store: CountedStore) -> SessionFiles:
    """A job of four pages, all rendered, of which none is read."""
    files = await create_session(store, OWNER)
    asked = Intake(
        session_id=files.session_id,
        user_email=OWNER,
        file_info=jobs.INTAKE.file_info,
        options=jobs.INTAKE.options,
        created_at=START,
    )
    await store.write(files.intake_path, intakes.encode(asked))
    job = Job.opened(asked).load(START)
    job = job.plan((1, 2, 3, 4), total_pages=4, batch_size=2, parallelism=1, at=START)
    await create(files, job.rendered(dict.fromkeys((1, 2, 3, 4), START), START).extracted(START))
    return files


@pytest.fixture
def nudged() -> list[str]:
    return []


@pytest.fixture
async def feeds_of(store: CountedStore, nudged: list[str]) -> AsyncIterator[Callable[..., Feeds]]:
    made: list[Feeds] = []

    async def nudge(files: SessionFiles, job: Job) -> None:
        nudged.append(job.job_id)

    def make(look_seconds: float = NEVER, *, most_each: int = 1000, most: int = 1000) -> Feeds:
        made.append(Feeds(store, nudge=nudge, look_seconds=look_seconds, most_each=most_each, most=most))
        return made[-1]

    yield make
    for feeds in made:
        feeds.drain()


async def hold(files: SessionFiles, *pages: int, name: str = "0001") -> HeldLease:
    held = await take(files, name, run=1, holder="worker", seconds=60, pages=pages)
    assert held is not None
    return held


async def save(files: SessionFiles, page_no: int, text: str = "text") -> None:
    """As a worker does: the outcome first; the record follows later."""
    await files.store.write(files.page_outcome_path(page_no), outcome.encode(jobs.outcome(page_no, text)))


def ended(view: View) -> set[int]:
    return {number for number, page in view.job.pages.items() if page.ended}


async def seen(feed: Feed, holds: Callable[[View], bool]) -> View:
    async with asyncio.timeout(60):
        view = await feed.newer(None)
        while not holds(view):
            view = await feed.newer(view)
    return view


async def test_a_page_is_there_when_it_is_saved_although_the_record_does_not_show_it(
    feeds_of: Callable[..., Feeds], files: SessionFiles
) -> None:
    await hold(files, 1, 2)
    with feeds_of(AT_ONCE).watched(OWNER, files.session_id) as feed:
        assert (await feed.newer(None)).job.pages[1].status is PageStatus.PROCESSING
        await save(files, 2)
        view = await seen(feed, lambda view: ended(view) == {2})
        assert view.record.pages[2].status is PageStatus.PENDING
        assert view.job.percent > view.record.percent


async def test_a_page_that_was_shown_stays_although_its_holder_dies_before_the_record_has_it(
    feeds_of: Callable[..., Feeds], files: SessionFiles
) -> None:
    held = await hold(files, 1, 2)
    feeds = feeds_of()
    with feeds.watched(OWNER, files.session_id) as feed:
        await save(files, 1)
        feeds.look_soon(files.session_id)
        await seen(feed, lambda view: ended(view) == {1})
        await held.release()
        await hold(files, 3, 4, name="0002")
        await save(files, 2)
        feeds.look_soon(files.session_id)
        view = await seen(feed, lambda view: 2 in ended(view))
        assert ended(view) == {1, 2}


async def test_a_finished_batch_is_shown_by_its_lease(feeds_of: Callable[..., Feeds], files: SessionFiles) -> None:
    held = await hold(files, 1, 2)
    await held.finish({1: jobs.read(), 2: jobs.read(failed=True)})
    with feeds_of().watched(OWNER, files.session_id) as feed:
        view = await feed.newer(None)
        assert [view.job.pages[n].status for n in (1, 2)] == [PageStatus.COMPLETED, PageStatus.FAILED]


async def test_outcomes_of_an_earlier_run_do_not_count(feeds_of: Callable[..., Feeds], files: SessionFiles) -> None:
    await save(files, 1)
    await commit(files, lambda job: job.cancel(START))
    await commit(files, lambda job: job.retry([1], START))
    held = await take(files, "0001", run=2, holder="worker", seconds=60, pages=(1, 2))
    assert held is not None
    with feeds_of().watched(OWNER, files.session_id) as feed:
        assert ended(await feed.newer(None)) == set()


async def test_watchers_cost_no_reads(feeds_of: Callable[..., Feeds], files: SessionFiles, store: CountedStore) -> None:
    async def reads_of(watchers: int, page_no: int) -> int:
        feeds, before, all_there = feeds_of(), store.asked, asyncio.Barrier(watchers + 1)

        async def watch() -> None:
            with feeds.watched(OWNER, files.session_id) as feed:
                first = await feed.newer(None)
                await all_there.wait()
                await feed.newer(first)

        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for _ in range(watchers):
                group.create_task(watch())
            await all_there.wait()
            await commit(files, lambda job: job.started({page_no: START}, START))
            feeds.look_soon(files.session_id)
        return store.asked - before

    assert await reads_of(1, 1) == await reads_of(200, 2) > 0


async def test_the_bytes_of_an_event_are_made_once_for_all_who_get_it(
    feeds_of: Callable[..., Feeds], files: SessionFiles
) -> None:
    with feeds_of().watched(OWNER, files.session_id) as feed:
        view = await feed.newer(None)
        assert view.events(Position())[0] is view.events(Position())[0]


async def test_a_client_that_reads_slowly_is_sent_a_bounded_part_at_a_time(
    feeds_of: Callable[..., Feeds], store: CountedStore
) -> None:
    pages = 1000
    job = jobs.extracted(pages).settled(dict.fromkeys(range(1, pages + 1), jobs.read()), START)
    view, position, told = View(record=job, job=job), Position(), b""
    while (sent := view.events(position))[0]:
        assert len(sent[0]) < 50_000
        told, position = told + sent[0], sent[1]
    assert told.count(b"event: page\n") == pages
    assert position == list(news(Position(), job))[-1][1]


async def test_an_unknown_job_and_another_users_are_not_found(
    feeds_of: Callable[..., Feeds], files: SessionFiles
) -> None:
    feeds = feeds_of()
    for email, job_id in ((OWNER, "0" * 32), (OWNER, "../x"), ("other@example.org", files.session_id)):
        with feeds.watched(email, job_id) as feed, pytest.raises(NotFound):
            await feed.newer(None)
    with feeds.watched(OWNER, files.session_id) as feed:
        assert await feed.newer(None)


async def test_a_deleted_job_ends_its_feed(feeds_of: Callable[..., Feeds], files: SessionFiles) -> None:
    feeds = feeds_of()
    with feeds.watched(OWNER, files.session_id) as feed:
        view = await feed.newer(None)
        await deletion.delete(files)
        feeds.look_soon(files.session_id)
        with pytest.raises(NotFound):
            await feed.newer(view)


async def test_a_storage_that_is_away_refuses_the_first_watcher_and_is_waited_for_by_the_others(
    feeds_of: Callable[..., Feeds], files: SessionFiles, store: CountedStore
) -> None:
    feeds = feeds_of(AT_ONCE)
    store.away = True
    with feeds.watched(OWNER, files.session_id) as feed, pytest.raises(Unavailable):
        await feed.newer(None)
    store.away = False
    with feeds.watched(OWNER, files.session_id) as feed:
        view = await feed.newer(None)
        store.away = True
        asked = store.asked
        await until(lambda: store.asked > asked + 20)
        store.away = False
        await commit(files, lambda job: job.cancel(START))
        assert (await feed.newer(view)).record.ended


async def test_a_process_that_stops_ends_every_feed_those_that_begin_later_too(
    feeds_of: Callable[..., Feeds], files: SessionFiles
) -> None:
    feeds = feeds_of()
    with feeds.watched(OWNER, files.session_id) as feed:
        view = await feed.newer(None)
        waiting = asyncio.create_task(feed.newer(view))
        await asyncio.sleep(0)
        feeds.drain()
        with pytest.raises(Stopping):
            await waiting
    with feeds.watched(OWNER, files.session_id) as feed, pytest.raises(Stopping):
        await feed.newer(None)


async def test_nothing_is_read_for_a_job_that_no_one_watches_any_more(
    feeds_of: Callable[..., Feeds], files: SessionFiles, store: CountedStore
) -> None:
    feeds = feeds_of(AT_ONCE)
    with feeds.watched(OWNER, files.session_id) as feed, feeds.watched(OWNER, files.session_id) as same:
        assert same is feed
        await feed.newer(None)
    assert feeds.watchers == 0
    asked = store.asked
    for _ in range(100):
        await asyncio.sleep(0)
    assert store.asked <= asked + 1


async def test_watchers_are_limited_each_user_and_all_together(
    feeds_of: Callable[..., Feeds], files: SessionFiles
) -> None:
    feeds = feeds_of(most_each=2, most=3)
    with (
        feeds.watched(OWNER, files.session_id),
        feeds.watched(OWNER, files.session_id),
        feeds.watched("other@example.org", files.session_id),
    ):
        for email in (OWNER, "third@example.org"):
            with pytest.raises(Problem) as refused, feeds.watched(email, files.session_id):
                pass
            assert refused.value.status == 429
    with feeds.watched(OWNER, files.session_id), feeds.watched(OWNER, files.session_id):
        assert feeds.watchers == 2


async def test_what_a_view_sends_is_an_event_stream(feeds_of: Callable[..., Feeds], files: SessionFiles) -> None:
    await hold(files, 1, 2)
    await save(files, 1)
    with feeds_of().watched(OWNER, files.session_id) as feed:
        view = await feed.newer(None)
        told = [event for event, _ in news(Position(), view.job)]
        assert [type(event) for event in told] == [JobEvent, PageEvent]
        sent, after = view.events(Position())
        blocks = sent.decode().split("\n\n")
        assert blocks[0].split("\n")[:2] == ["id: 1..", "event: job"]
        assert blocks[1].split("\n")[:2] == [f"id: {after.id}", "event: page"]
        assert blocks[2] == ""
