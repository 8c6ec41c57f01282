import asyncio

import pytest

from libs.fanout import fan_out


async def test_results_come_in_the_order_of_the_items_and_no_more_calls_than_allowed_run_at_once() -> None:
    running = most = 0

    async def call(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(10 - number):  # the later ones end first
            await asyncio.sleep(0)
        running -= 1
        return number * number

    assert await fan_out(call, range(10), at_once=3) == [n * n for n in range(10)]
    assert most == 3


async def test_first_failure_is_raised() -> None:
    async def call(number: int) -> None:
        if number == 2:
            raise KeyError(number)

    with pytest.raises(KeyError):
        await fan_out(call, range(4), at_once=2)


async def test_nothing_to_call_is_no_result() -> None:
    async def call(number: int) -> int:
        return number

    assert await fan_out(call, []) == []
