import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.taskqueue.dedup import EndedNames
from libs.taskqueue.queue_settings import QueueSettings
from libs.taskqueue.ratelimit import full_bucket


def queue(
    *,
    max_attempts: int | None = None,
    max_retry_seconds: float | None = None,
    min_backoff: float = 10.0,
    max_backoff: float = 300.0,
    doublings: int = 3,
) -> QueueSettings:
    return QueueSettings(
        max_dispatches_per_second=1.0,
        max_concurrent_dispatches=1,
        max_burst_size=1,
        max_attempts=max_attempts,
        max_retry_seconds=max_retry_seconds,
        min_backoff_seconds=min_backoff,
        max_backoff_seconds=max_backoff,
        max_doublings=doublings,
        dispatch_deadline_seconds=600.0,
    )


def test_back_off_doubles_then_grows_by_the_last_step_then_stays_at_the_maximum() -> None:
    # The example of the Cloud Tasks reference.
    assert [queue().backoff_seconds(n) for n in range(1, 10)] == [10, 20, 40, 80, 160, 240, 300, 300, 300]


def test_back_off_without_doublings_grows_by_the_minimum() -> None:
    settings = queue(min_backoff=1.0, max_backoff=3.5, doublings=0)

    assert [settings.backoff_seconds(n) for n in range(1, 6)] == [1, 2, 3, 3.5, 3.5]


@given(
    min_backoff=st.floats(0.001, 3600),
    factor=st.floats(1, 1000),
    doublings=st.integers(0, 16),
    failures=st.integers(1, 10_000),
)
def test_back_off_never_falls_and_stays_within_its_limits(
    min_backoff: float, factor: float, doublings: int, failures: int
) -> None:
    settings = queue(min_backoff=min_backoff, max_backoff=min_backoff * factor, doublings=doublings)

    waits = [settings.backoff_seconds(n) for n in (failures, failures + 1)]

    assert min_backoff <= waits[0] <= waits[1] <= min_backoff * factor


@pytest.mark.parametrize(
    ("max_attempts", "max_retry_seconds", "attempts", "age", "exhausted"),
    [
        (None, None, 10**6, 1e9, False),
        (3, None, 2, 1e9, False),
        (3, None, 3, 0.0, True),
        (None, 60.0, 10**6, 59.9, False),
        (None, 60.0, 1, 60.0, True),
        (3, 60.0, 3, 59.9, False),
        (3, 60.0, 2, 60.0, False),
        (3, 60.0, 3, 60.0, True),
    ],
)
def test_a_task_is_given_up_when_every_limit_that_is_set_has_been_passed(
    max_attempts: int | None, max_retry_seconds: float | None, attempts: int, age: float, exhausted: bool
) -> None:
    settings = queue(max_attempts=max_attempts, max_retry_seconds=max_retry_seconds)

    assert settings.is_exhausted(attempts=attempts, age_seconds=age) is exhausted


@given(
    rate=st.floats(0.1, 500),
    burst=st.integers(1, 20),
    idles=st.lists(st.floats(0, 30), min_size=1, max_size=60),
)
def test_no_span_of_time_sees_more_dispatches_than_its_burst_and_rate_allow(
    rate: float, burst: int, idles: list[float]
) -> None:
    bucket = full_bucket(rate=rate, burst=burst, now=1000.0)
    now, moments = 1000.0, []
    for idle in idles:
        now = bucket.ready_at(now + (idle if idle > 15 else 0.0))
        bucket = bucket.take(now)
        moments.append(now)

    for first in range(len(moments)):
        for last in range(first, len(moments)):
            allowed = burst + rate * (moments[last] - moments[first])
            assert last - first + 1 <= allowed + 1e-3


def test_an_idle_queue_may_burst_and_then_keeps_its_rate() -> None:
    bucket = full_bucket(rate=2.0, burst=3, now=0.0)
    now, moments = 0.0, []
    for _ in range(6):
        now = bucket.ready_at(now)
        bucket = bucket.take(now)
        moments.append(now)

    assert moments == [0.0, 0.0, 0.0, 0.5, 1.0, 1.5]


def test_a_slowed_queue_loses_its_burst_and_halves_its_rate_until_it_recovers() -> None:
    bucket = full_bucket(rate=1.0, burst=5, now=0.0).slowed(0.0)
    assert bucket.ready_at(0.0) == 2.0

    bucket = bucket.slowed(0.0)
    assert bucket.ready_at(0.0) == 4.0

    bucket = bucket.recovered(0.0).recovered(0.0).recovered(0.0)
    assert bucket.ready_at(0.0) == 1.0


def test_a_queue_that_is_always_refused_still_asks_again() -> None:
    bucket = full_bucket(rate=1.0, burst=1, now=0.0)
    for _ in range(100):
        bucket = bucket.slowed(0.0)

    assert bucket.ready_at(0.0) == 64.0


def test_an_ended_name_is_known_for_its_time_and_then_forgotten() -> None:
    names = EndedNames(seconds=3600.0)
    names.add("a", 0.0)

    assert names.has("a", 3599.9)
    assert not names.has("a", 3600.0)


def test_ended_names_stay_within_their_limit_and_the_oldest_go_first() -> None:
    names = EndedNames(seconds=3600.0, limit=3)
    for moment, name in enumerate("abcd"):
        names.add(name, float(moment))

    assert [name for name in "abcd" if names.has(name, 4.0)] == ["b", "c", "d"]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 50).map(float)), max_size=80))
def test_ended_names_agree_with_a_plain_list_of_all_that_ended(steps: list[tuple[str, float]]) -> None:
    names, log, now = EndedNames(seconds=100.0), dict[str, float](), 0.0
    for name, wait in steps:
        now += wait
        assert names.has(name, now) is (name in log and now - log[name] < 100.0)
        names.add(name, now)
        log[name] = now
