"""The distant clock, derived from answers: never ahead, never back, and unknown without a recent answer."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from libs.storage.servertime import FRESH_SECONDS, ServerTime

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ROUNDING = timedelta(microseconds=2)


class Clocks:
    """A local clock and a distant one, `ahead` seconds apart, whose stamps are whole seconds."""

    def __init__(self) -> None:
        self.local = 1000.0
        self.time = ServerTime(lambda: self.local)

    @property
    def distant(self) -> datetime:
        return START + timedelta(seconds=self.local)

    def answer(self, *, travel: float = 0.0) -> None:
        stamp = self.distant.replace(microsecond=0)
        self.local += travel
        self.time.hear(stamp)


def test_nothing_is_told_before_an_answer() -> None:
    assert Clocks().time.now() is None


def test_time_goes_on_between_answers() -> None:
    clocks = Clocks()
    clocks.answer()
    before = clocks.time.now()
    clocks.local += 7.5
    after = clocks.time.now()
    assert before is not None
    assert after is not None
    assert abs(after - before - timedelta(seconds=7.5)) < ROUNDING


def test_an_answer_just_after_the_full_second_sharpens_the_time() -> None:
    clocks = Clocks()
    clocks.local += 0.9
    clocks.answer()
    clocks.local += 0.11
    clocks.answer()
    now = clocks.time.now()
    assert now is not None
    assert clocks.distant - now < timedelta(seconds=0.02)


def test_an_answer_that_travelled_long_does_not_set_the_clock_back() -> None:
    clocks = Clocks()
    clocks.answer()
    sharp = clocks.time.now()
    clocks.answer(travel=5.0)
    now = clocks.time.now()
    assert sharp is not None
    assert now is not None
    assert clocks.distant - now < timedelta(seconds=1)


def test_old_answers_are_not_trusted() -> None:
    clocks = Clocks()
    clocks.answer()
    clocks.local += FRESH_SECONDS
    assert clocks.time.now() is None
    clocks.answer(travel=0.9)
    assert clocks.time.now() is not None


def test_an_answer_from_long_ago_does_not_set_a_dropped_time_back() -> None:
    clocks = Clocks()
    clocks.answer()
    clocks.local += FRESH_SECONDS - 10
    long_ago = clocks.distant
    clocks.local += 9.9
    before = clocks.time.now()
    clocks.local += 0.2
    clocks.time.hear(long_ago)
    after = clocks.time.now()
    assert before is not None
    assert after is not None
    assert after >= before


@given(st.lists(st.tuples(st.floats(0, 90), st.floats(0, 20), st.floats(-0.0001, 0.0001)), min_size=1, max_size=30))
def test_the_time_told_is_never_ahead_and_never_goes_back(steps: list[tuple[float, float, float]]) -> None:
    """Whatever the answers' travel, with a local oscillator some 100 millionths off."""
    clocks, drift, last = Clocks(), 0.0, None
    for pause, travel, rate in steps:
        clocks.local += pause
        drift += pause * rate
        stamp = (clocks.distant - timedelta(seconds=drift)).replace(microsecond=0)
        clocks.local += travel
        drift += travel * rate
        clocks.time.hear(stamp)
        now = clocks.time.now()
        assert now is not None
        # What an oscillator can gain while a bound is trusted, on the bounds kept and on the last time returned.
        gained = timedelta(seconds=2 * (FRESH_SECONDS + 110) * 0.0002)
        assert now <= clocks.distant - timedelta(seconds=drift) + gained + ROUNDING
        assert last is None or now >= last
        last = now
