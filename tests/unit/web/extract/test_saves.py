"""Saves run beside the work: a few at once, all ended at the end, none after a failure."""

import asyncio

import pytest

from services.web.extract.saves import SAVES_AT_ONCE, Saves


class Writes:
    """Writes that end when they are allowed to."""

    def __init__(self) -> None:
        self.allowed = asyncio.Event()
        self.begun = self.ended = self.cancelled = 0

    async def write(self) -> None:
        self.begun += 1
        try:
            await self.allowed.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.ended += 1


async def pass_by() -> None:
    """Let every task run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_work_waits_only_while_too_many_saves_are_under_way() -> None:
    writes = Writes()

    async def work() -> None:
        async with Saves() as saves:
            for _ in range(SAVES_AT_ONCE + 3):
                await saves.add(writes.write())

    working = asyncio.create_task(work())
    await pass_by()
    assert writes.begun == SAVES_AT_ONCE + 1
    assert not working.done()
    writes.allowed.set()
    await working
    assert writes.ended == SAVES_AT_ONCE + 3


async def test_a_failed_save_is_raised_and_the_others_are_cancelled() -> None:
    writes = Writes()

    async def fail() -> None:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        async with Saves() as saves:
            await saves.add(writes.write())
            await pass_by()
            await saves.add(fail())
            await saves.done()
    assert (writes.begun, writes.cancelled) == (1, 1)


async def test_failed_work_cancels_the_saves_under_way() -> None:
    writes = Writes()
    with pytest.raises(ZeroDivisionError):
        async with Saves() as saves:
            await saves.add(writes.write())
            await pass_by()
            raise ZeroDivisionError
    assert (writes.ended, writes.cancelled) == (0, 1)
