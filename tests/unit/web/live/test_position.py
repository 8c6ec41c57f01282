"""What a client is told of a job: every page once in each run, whatever it misses and however often it comes again."""

import random
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.jobstate.job import Job, RetryRefused
from libs.jobstate.outcome import BriefOutcome
from libs.jobstate.status import JobStatus
from services.web.live.position import DoneEvent, Event, JobEvent, PageEvent, Position, knows_all, news, position_of
from tests import jobs
from tests.jobs import START

PAGES = st.sets(st.integers(0, 7), min_size=1)


class Settle(msgspec.Struct, frozen=True):
    """Pages end, those of these indices."""

    pages: frozenset[int]
    failed: bool


class Retry(msgspec.Struct, frozen=True):
    """The job ends by a cancellation, if it has not, and pages are read again."""

    pages: frozenset[int]


class End(msgspec.Struct, frozen=True):
    """Every page ends, then the job."""


STEPS = st.lists(
    st.one_of(
        st.builds(Settle, PAGES.map(frozenset), st.booleans()),
        st.builds(Retry, PAGES.map(frozenset)),
        st.builds(End),
    ),
    max_size=12,
)
#: For each look of a client: how many steps pass before it, by how many the view lags, how many events arrive before
#: the connection breaks (`None`: all), and whether it stays, so that the server still knows the client's position.
LOOKS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 2), st.none() | st.integers(0, 5), st.booleans()), max_size=20
)


def life(steps: list[Settle | Retry | End], numbers: list[int]) -> list[Job]:
    """The states of a job, from before its plan to its end."""
    job = jobs.opened().load(START)
    states = [jobs.opened(), job]
    job = job.plan(numbers, total_pages=99, batch_size=3, parallelism=1, at=START)
    states.append(job)
    job = job.rendered(dict.fromkeys(numbers, START), START).extracted(START)
    states.append(job)
    for step in [*steps, End()]:
        match step:
            case Settle(pages, failed):
                job = settled(job, [numbers[index % len(numbers)] for index in pages], failed)
            case Retry(pages):
                job = job.cancel(START)
                states.append(job)
                job = again(job, [numbers[index % len(numbers)] for index in pages])
            case End():
                job = settled(job, numbers, failed=False).combining(START).end(START)
        states.append(job)
    return states


def settled(job: Job, pages: list[int], failed: bool) -> Job:
    outcomes: dict[int, BriefOutcome] = dict.fromkeys(pages, jobs.read(job.run, failed=failed))
    return job.settled(outcomes, START)


def again(job: Job, pages: list[int]) -> Job:
    try:
        return job.retry(pages, START)
    except RetryRefused:
        return job


def lagging(states: list[Job], at: int, lag: int) -> Job:
    """The state, or an earlier one of the same run: another process may not have seen every outcome yet."""
    while lag and at and not states[at].ended and states[at - 1].run == states[at].run and states[at - 1].planned:
        at, lag = at - 1, lag - 1
    return states[at]


@given(
    steps=STEPS,
    numbers=st.lists(st.integers(1, 99), min_size=1, max_size=8, unique=True).map(sorted),
    looks=LOOKS,
)
def test_every_page_is_told_once_in_each_run_and_in_an_order_that_can_be_shown(
    steps: list[Settle | Retry | End], numbers: list[int], looks: list[tuple[int, int, int | None, bool]]
) -> None:
    states = life(steps, numbers)
    position, at, told = Position(), 0, list[Event]()
    for passed, lag, arrived, stays in [*looks, (len(states), 0, None, False)]:
        at = min(at + passed, len(states) - 1)
        for count, (event, after) in enumerate(news(position, lagging(states, at, lag))):
            if count == arrived:
                break
            told.append(event)
            position = after
        if not stays:
            position = position_of(position.id)

    pages = [(event.page_no, event.run) for event in told if isinstance(event, PageEvent)]
    assert len(pages) == len(set(pages))
    last = states[-1]
    assert {(number, page.run) for number, page in last.pages.items()} <= set(pages)
    assert isinstance(told[-1], DoneEvent)
    ends = [event.run for event in told if isinstance(event, DoneEvent)]
    assert len(ends) == len(set(ends))
    assert ends[-1] == last.run
    run = 0
    for event in told:
        if isinstance(event, JobEvent):
            assert event.run >= run
            run = event.run
        assert event.run <= run, "the job's event of a run comes first"
    assert knows_all(position_of(position.id), last)
    assert list(news(position_of(position.id), last)) == []


def test_a_client_that_knows_nothing_is_told_the_job_then_its_pages_in_order_then_the_end() -> None:
    job = jobs.extracted(3)
    job = job.settled({3: jobs.read(), 1: jobs.read(failed=True)}, START)
    told = list(news(Position(), job))
    assert [type(event) for event, _ in told] == [JobEvent, PageEvent, PageEvent]
    assert [event.page_no for event, _ in told if isinstance(event, PageEvent)] == [1, 3]
    job = job.settled({2: jobs.read()}, START).combining(START).end(START)
    rest = [event for event, _ in news(told[-1][1], job)]
    assert [event.page_no for event in rest if isinstance(event, PageEvent)] == [2]
    assert rest[-1] == DoneEvent(status=JobStatus.PARTIAL, run=1, error="1 of 3 pages could not be read.")


def test_a_document_that_yields_no_page_has_an_end_and_another_after_a_retry() -> None:
    job = jobs.opened().load(START).extraction_failed("It is encrypted.", START)
    (_, _), (end, position) = news(Position(), job)
    assert end == DoneEvent(status=JobStatus.FAILED, run=1, error="It is encrypted.")
    failed_again = job.retry(None, START).load(START).extraction_failed("It still is.", START)
    told = [event for event, _ in news(position_of(position.id), failed_again)]
    assert told[-1] == DoneEvent(status=JobStatus.FAILED, run=2, error="It still is.")


def test_ids_grow_from_event_to_event_and_are_read_as_what_they_were() -> None:
    job = jobs.extracted(40).settled(dict.fromkeys(range(1, 41, 3), jobs.read()), START)
    positions = [after for _, after in news(Position(), job)]
    for before, after in pairwise(positions):
        assert before.pages < after.pages
    for position in positions:
        assert position_of(position.id) == msgspec.structs.replace(position, job=None)


def test_the_id_of_a_long_document_fits_into_a_header_in_whatever_order_its_pages_end() -> None:
    dice = random.Random(7)
    assert len(Position(run=1, pages=dice.getrandbits(5000)).id) < 900
    assert len(Position(run=1, pages=(1 << 5000) - 1).id) < 40


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "1.2",
        "1.AwA.x",
        "-1.AwA.",
        "1.AwA.end.",
        "x.AwA.",
        "1.!!!!.",
        "1.A.",
        "1.AAAA.",
        "9" * 5000 + "..",
        "²..",
        "1.é.",
        Position(run=1, pages=1 << 9_000_000).id,
    ],
)
def test_an_id_that_is_not_ours_begins_at_the_beginning(text: str) -> None:
    assert position_of(text) == Position()


def test_the_id_of_another_job_that_has_got_further_begins_at_the_beginning() -> None:
    job = jobs.extracted(2).settled({1: jobs.read()}, START)
    assert [event.run for event, _ in news(Position(run=5, pages=3, done=True), job)] == [1, 1]
