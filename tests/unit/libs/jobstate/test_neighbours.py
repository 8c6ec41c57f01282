"""Other users' jobs are served beside a call or instead of it."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from libs.jobstate.job import Job
from libs.jobstate.lease import LeaseLost
from libs.jobstate.neighbours import LEAST_SECONDS, Neighbours, Seat
from libs.storage import layout
from libs.storage.errors import Unavailable
from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles
from tests.jobs import opened
from tests.simulation.installation import in_virtual_time

LOOK_SECONDS = 1.0


class Works:
    """A `Stage` whose pieces of work last until they must yield or have taken `seconds`, looked at every second."""

    faults = ()
    fatal = (RuntimeError,)

    def __init__(self, *, seconds: float = 5.0) -> None:
        self.seconds = seconds
        self.idle: set[str] = set()
        self.served: list[tuple[str, bool]] = []
        self.working: set[str] = set()
        self.fault: Exception | None = None
        self.find_fault: Exception | None = None

    async def find(self, files: SessionFiles) -> Job | None:
        if (fault := self.find_fault) is not None:
            self.find_fault = None
            raise fault
        if files.session_id in self.working:
            return None
        if files.user_hash in self.idle:
            raise Unavailable(files.prefix)
        return opened()

    async def serve(self, files: SessionFiles, job: Job, seat: Seat) -> None:
        self.served.append((files.user_hash[0], seat.guest))
        self.working.add(files.session_id)
        clock = asyncio.get_running_loop().time
        began = clock()
        while not seat.must_yield and clock() < began + self.seconds:
            await asyncio.sleep(1)
            seat.charge(1)
        if self.fault is not None:
            raise self.fault


class Place:
    """A process, and active jobs: one for each letter of a user, in the order of their arrival."""

    def __init__(self, stage: Works, *, extra_seats: int) -> None:
        clock = asyncio.get_running_loop().time
        self.clock = clock
        self.store = MemoryStore(lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=clock()))
        self.neighbours = Neighbours(self.store, stage, extra_seats=extra_seats, look_seconds=LOOK_SECONDS)
        self._number = 0

    async def job(self, user: str) -> SessionFiles:
        self._number += 1
        files = SessionFiles(store=self.store, user_hash=user * 12, session_id=f"{self._number:032x}")
        await self.store.write(layout.active_path(files.user_hash, files.session_id), b"{}")
        return files


def test_user_without_a_seat_is_served_at_once_beside_the_call_and_once_however_many_jobs_there_are() -> None:
    async def live() -> list[tuple[str, bool]]:
        stage = Works()
        place = Place(stage, extra_seats=2)
        own = await place.job("a")
        await place.job("a")
        for _ in range(3):
            await place.job("b")
        async with place.neighbours.host(own, 0.0) as host:
            assert not await host.gives_way()
            await asyncio.sleep(3)
            return list(stage.served)

    assert in_virtual_time(0, live) == [("b", True)]


def test_guest_ends_its_work_early_when_the_call_is_over() -> None:
    async def live() -> float:
        place = Place(Works(seconds=1000), extra_seats=1)
        own = await place.job("a")
        await place.job("b")
        async with place.neighbours.host(own, 0.0):
            await asyncio.sleep(10)
            await place.store.delete(own.active_path)
        return place.clock()

    assert in_virtual_time(0, live) < 10 + LEAST_SECONDS


def test_extra_seats_are_bounded_and_a_call_yields_to_the_user_who_has_used_least() -> None:
    async def live() -> tuple[list[str], bool, bool]:
        stage = Works(seconds=60)
        place = Place(stage, extra_seats=1)
        own = await place.job("a")
        for user in "bc":
            await place.job(user)
        async with place.neighbours.host(own, 0.0) as host:
            await asyncio.sleep(LOOK_SECONDS / 2)
            early = host.seat.must_yield
            host.seat.charge(1)
            seated = [user for user, _ in stage.served]
            late = host.seat.must_yield
        return seated, early, late

    assert in_virtual_time(0, live) == (["b"], False, True)


def test_call_without_extra_seats_serves_the_user_whose_turn_it_is_in_place_of_its_own() -> None:
    async def live() -> tuple[bool, bool, list[tuple[str, bool]]]:
        stage = Works()
        place = Place(stage, extra_seats=0)
        own = await place.job("a")
        await place.job("b")
        async with place.neighbours.host(own, 0.0) as host:
            first = await host.gives_way()
            host.seat.charge(20)
        async with place.neighbours.host(own, 0.0) as host:
            second = await host.gives_way()
        return first, second, stage.served

    assert in_virtual_time(0, live) == (False, True, [("b", False)])


def test_job_without_work_is_passed_over_and_looked_at_again() -> None:
    async def live() -> list[tuple[str, bool]]:
        stage = Works()
        place = Place(stage, extra_seats=1)
        own = await place.job("a")
        await place.job("b")
        stage.idle = {"b" * 12}
        async with place.neighbours.host(own, 0.0):
            await asyncio.sleep(3)
            assert not stage.served
            stage.idle.clear()
            await asyncio.sleep(3)
            return stage.served[:]

    assert in_virtual_time(0, live) == [("b", True)]


def test_call_that_waits_for_its_guest_lends_its_seat() -> None:
    async def live() -> list[str]:
        stage = Works()
        place = Place(stage, extra_seats=1)
        own = await place.job("a")
        await place.job("b")
        async with place.neighbours.host(own, 0.0):
            await asyncio.sleep(LOOK_SECONDS / 2)
            await place.job("a")
        return [user for user, _ in stage.served[:2]]

    assert in_virtual_time(0, live) == ["b", "a"]


def test_fault_of_a_guest_reaches_the_call_and_its_seat_is_free_again() -> None:
    async def live() -> bool:
        stage = Works()
        stage.fault = RuntimeError("told to end the process")
        place = Place(stage, extra_seats=1)
        own = await place.job("a")
        await place.job("b")
        with pytest.raises(RuntimeError, match="told to end"):
            async with place.neighbours.host(own, 0.0):
                await asyncio.sleep(LOOK_SECONDS)
        return place.neighbours.turns.has_extra_seat and not place.neighbours.turns.has_seat("b" * 12)

    assert in_virtual_time(0, live)


@pytest.mark.parametrize("fault", [Unavailable("x"), LeaseLost("x"), ZeroDivisionError()], ids=repr)
def test_what_else_a_guest_meets_fails_no_call_of_another_user(fault: Exception) -> None:
    async def live() -> tuple[list[tuple[str, bool]], bool]:
        stage = Works()
        stage.fault = fault
        place = Place(stage, extra_seats=1)
        own = await place.job("a")
        await place.job("b")
        async with place.neighbours.host(own, 0.0):
            await asyncio.sleep(LOOK_SECONDS)
        return stage.served[:1], place.neighbours.turns.has_seat("b" * 12)

    assert in_virtual_time(0, live) == ([("b", True)], False)


def test_look_that_fails_is_repeated() -> None:
    async def live() -> list[tuple[str, bool]]:
        stage = Works()
        place = Place(stage, extra_seats=1)
        own = await place.job("a")
        await place.job("b")
        stage.find_fault = ZeroDivisionError()
        async with place.neighbours.host(own, 0.0):
            await asyncio.sleep(3 * LOOK_SECONDS)
            return stage.served[:]

    assert in_virtual_time(0, live) == [("b", True)]


def test_call_that_is_cancelled_cancels_its_guests() -> None:
    async def live() -> tuple[bool, bool]:
        stage = Works(seconds=1000)
        place = Place(stage, extra_seats=1)
        own = await place.job("a")
        await place.job("b")

        async def call() -> None:
            async with place.neighbours.host(own, 0.0):
                await asyncio.sleep(1000)

        task = asyncio.create_task(call())
        await asyncio.sleep(LOOK_SECONDS)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return place.neighbours.turns.has_extra_seat, len(asyncio.all_tasks()) == 1

    assert in_virtual_time(0, live) == (True, True)
