"""Readers that run together, and readers that run alone."""

import asyncio

from services.worker.quarantine import Quarantine


async def settled() -> None:
    """Let every task go on until it waits for another."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_waiting_solo_reader_blocks_new_readers() -> None:
    quarantine = Quarantine()
    events: list[str] = []
    leave = asyncio.Event()

    async def together(name: str) -> None:
        async with quarantine.together():
            events.append(f"{name} in")
            await leave.wait()
            events.append(f"{name} out")

    async def alone() -> None:
        async with quarantine.alone():
            events.append("alone in")
            await asyncio.sleep(0)
            events.append("alone out")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(together("first"))
        tasks.create_task(together("second"))
        await settled()
        tasks.create_task(alone())
        await settled()
        tasks.create_task(together("late"))
        await settled()
        assert events == ["first in", "second in"]
        leave.set()
    assert events[2:] == ["first out", "second out", "alone in", "alone out", "late in", "late out"]


async def test_cancelled_solo_reader_blocks_no_one() -> None:
    quarantine = Quarantine()
    async with quarantine.together():
        waiting = asyncio.create_task(quarantine.alone().__aenter__())
        await settled()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        async with asyncio.timeout(60), quarantine.together():
            pass
