import pytest

from libs.retry import LONGEST_RETRY_AFTER, RetryableFault, RetryPolicy, retry_after_seconds, with_retries

POLICY = RetryPolicy(seconds=10.0, first_pause=1.0, longest_pause=4.0)
EPOCH = 1_800_000_000.0


class Attempts:
    """Raises the given faults, on a clock that only the pauses advance."""

    def __init__(self, *faults: Exception) -> None:
        self.faults = list(faults)
        self.time = 100.0
        self.moments: list[float] = []

    async def attempt(self, deadline: float) -> str:
        assert deadline == 100.0 + POLICY.seconds
        self.moments.append(self.time - 100.0)
        if self.faults:
            raise self.faults.pop(0)
        return "done"

    async def sleep(self, seconds: float) -> None:
        self.time += seconds

    async def run(self, jitter: float = 1.0) -> str:
        return await with_retries(self.attempt, POLICY, now=lambda: self.time, sleep=self.sleep, jitter=lambda: jitter)


async def test_pauses_double_up_to_the_longest_and_the_last_fault_is_raised() -> None:
    attempts = Attempts(*(RetryableFault(f"fault {number}") for number in range(9)))
    with pytest.raises(RetryableFault, match="fault 3"):
        await attempts.run()
    assert attempts.moments == [0.0, 1.0, 3.0, 7.0], "the next one would begin after the deadline"


async def test_jitter_shortens_a_pause_to_half_at_most() -> None:
    attempts = Attempts(RetryableFault("once"), RetryableFault("twice"))
    assert await attempts.run(jitter=0.0) == "done"
    assert attempts.moments == [0.0, 0.5, 1.5]


async def test_pause_that_the_server_asks_for_is_kept() -> None:
    attempts = Attempts(RetryableFault("busy", wait=6.0))
    assert await attempts.run() == "done"
    assert attempts.moments == [0.0, 6.0]


async def test_pause_that_lasts_beyond_the_deadline_is_not_begun() -> None:
    attempts = Attempts(RetryableFault("busy", wait=11.0))
    with pytest.raises(RetryableFault, match="busy"):
        await attempts.run()
    assert attempts.time == 100.0


async def test_any_other_error_ends_it_at_once() -> None:
    attempts = Attempts(KeyError("no such queue"))
    with pytest.raises(KeyError):
        await attempts.run()
    assert len(attempts.moments) == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("999999999999", LONGEST_RETRY_AFTER),
        ("Fri, 15 Jan 2027 08:00:30 GMT", 30.0),
        ("Fri, 15 Jan 2027 07:59:30 GMT", 0.0),
        ("Fri, 31 Dec 2199 23:59:59 GMT", LONGEST_RETRY_AFTER),
        ("", None),
        ("soon", None),
        ("-3", None),
    ],
)
def test_retry_after_is_a_number_of_seconds_or_a_date(value: str, seconds: float | None) -> None:
    assert retry_after_seconds(value, EPOCH) == seconds
