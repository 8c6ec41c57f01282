"""The throttle: how its limit falls and rises."""

from services.worker.engines.chat.throttle import Throttle


async def test_throttle_halves_once_for_all_requests_refused_together_and_grows_by_one() -> None:
    throttle = Throttle(8)
    numbers = []
    for _ in range(8):
        async with throttle as number:
            numbers.append(number)
    for number in numbers:
        throttle.decrease(number)
    assert throttle.limit == 4
    for _ in range(5):
        throttle.increase()
    assert throttle.limit == 5
    for _ in range(100):
        async with throttle as number:
            throttle.decrease(number)
    assert throttle.limit == 1
