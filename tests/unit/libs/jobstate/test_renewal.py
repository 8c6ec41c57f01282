"""A held lease is renewed while its holder makes progress, and a step is shown only once it has taken long."""

import asyncio
from datetime import UTC, datetime, timedelta

from libs.jobstate.commit import committed_if_slow
from libs.jobstate.lease import HeldLease, renewed, take
from libs.storage.errors import Unavailable
from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles
from tests.simulation.installation import in_virtual_time

SECONDS = 60.0


class Interrupted(MemoryStore):
    """Cannot be written to while `down`."""

    down = False

    async def write(self, *arguments, **options):  # type: ignore[no-untyped-def]
        if self.down:
            raise Unavailable("lease")
        return await super().write(*arguments, **options)


async def lease_and_store() -> tuple[HeldLease, Interrupted]:
    """A lease of a minute, in a store whose clock is the loop's."""
    clock = asyncio.get_running_loop().time
    store = Interrupted(lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=clock()))
    files = SessionFiles(store=store, user_hash="a" * 12, session_id="0" * 32)
    held = await take(files, "0001", run=1, holder="first", seconds=SECONDS, pages=(1, 2))
    assert held is not None
    return held, store


async def rival(store: MemoryStore) -> HeldLease | None:
    files = SessionFiles(store=store, user_hash="a" * 12, session_id="0" * 32)
    return await take(files, "0001", run=1, holder="second", seconds=SECONDS)


def test_lease_is_renewed_when_a_quarter_of_its_time_has_passed_and_names_the_pages_in_hand() -> None:
    async def live() -> list[bool]:
        held, _ = await lease_and_store()
        written = []
        for seconds in (15.0, 0.5, 15.0, 0.5):
            await asyncio.sleep(seconds)
            written.append(await held.renew_if_due([2]))
        assert held.lease.in_hand == (2,)
        return written

    assert in_virtual_time(0, live) == [False, True, False, True]


def test_lease_is_kept_as_long_as_the_work_lasts_and_through_an_outage_of_the_store() -> None:
    async def live() -> list[HeldLease | None]:
        held, store = await lease_and_store()
        async with renewed(held):
            await asyncio.sleep(SECONDS + 10)
            during = await rival(store)
            store.down = True
            await asyncio.sleep(SECONDS / 2)
            store.down = False
            await asyncio.sleep(SECONDS / 2)
            afterwards = await rival(store)
        await asyncio.sleep(SECONDS + 1)
        assert await rival(store) is not None, "it is not renewed once the work has ended"
        return [during, afterwards]

    assert in_virtual_time(0, live) == [None, None]


def test_step_is_shown_once_it_takes_long_and_not_at_all_when_it_is_over_at_once() -> None:
    async def live() -> list[str]:
        events: list[str] = []

        async def show() -> None:
            events.append("shown")

        for seconds in (0.9, 1.1):
            async with committed_if_slow(show):
                await asyncio.sleep(seconds)
            events.append("over")
        return events

    assert in_virtual_time(0, live) == ["over", "shown", "over"]
