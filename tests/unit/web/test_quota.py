"""What one user may use, and what becomes of the others."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import cast

import msgspec
import pytest

from libs.storage import layout
from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles
from libs.storage.store import DirectStore
from services.serving.problem import Problem
from services.web.config import STRANGERS, WebConfig
from services.web.quota import RECOUNT_AFTER_DELETION_SECONDS, RECOUNT_SECONDS, Quotas, Rates, Usage
from tests.clock import StorageClock
from tests.reachable import ReachableStore
from tests.simulation.installation import in_virtual_time
from tests.tusclient import BODY_TYPE, PDF, Client

OTHER = "grace@example.org"


class CountedStore(MemoryStore):
    """Counts the listings of users' files."""

    listings = 0

    def list(self, prefix):  # type: ignore[no-untyped-def]
        self.listings += prefix.startswith(layout.USERS) and prefix.count("/") == 2
        return super().list(prefix)


class SlowStore(MemoryStore):
    """Lets others go on while it lists."""

    async def list(self, prefix):  # type: ignore[no-untyped-def]
        await asyncio.sleep(0)
        async for stat in super().list(prefix):
            yield stat


def in_loop_time(store: type[MemoryStore] = MemoryStore) -> MemoryStore:
    """A store whose clock is the event loop's."""
    clock = asyncio.get_running_loop().time
    return store(lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=clock()))


def session(store: MemoryStore, digit: str) -> SessionFiles:
    return SessionFiles(store=store, user_hash="a" * 12, session_id=digit * 32)


async def status_of(usage: Usage, size: int = 0) -> int:
    try:
        await usage.admit("a" * 12, size)
    except Problem as problem:
        return problem.status
    return 0


def test_requests_are_refused_until_as_many_seconds_have_passed_as_the_answer_says() -> None:
    async def live() -> list[int]:
        rates = Rates(6)
        for _ in range(6):
            rates.take("ada")
        with pytest.raises(Problem) as refused:
            rates.take("ada")
        rates.take("grace")
        wait = int(refused.value.headers["Retry-After"])
        await asyncio.sleep(wait)
        rates.take("ada")
        with pytest.raises(Problem):
            rates.take("ada")
        return [refused.value.status, wait]

    assert in_virtual_time(0, live) == [429, 10]


async def test_rate_holds_for_each_user_on_every_route() -> None:
    client = Client(MemoryStore(), requests_per_minute_per_user=2)
    answers = [(await client.send("GET", path)).status for path in ("/api/jobs", "/api/jobs/x/status", "/api/jobs")]
    assert answers == [200, 404, 429]
    assert (await client.send("GET", "/api/jobs", user=OTHER)).status == 200


async def test_upload_beyond_the_stored_bytes_is_refused_and_deleting_makes_room() -> None:
    client = Client(MemoryStore(), stored_bytes_per_user=5000)
    headers = {"Upload_Length": "3000"}
    assert (await client.send("POST", "/api/uploads", headers=headers)).status == 201
    refused = await client.send("POST", "/api/uploads", headers=headers)
    assert refused.status == 507
    assert b"Delete jobs" in refused.body
    assert (await client.send("POST", "/api/uploads", headers=headers, user=OTHER)).status == 201


def test_files_are_counted_seldom_and_what_is_announced_meanwhile_counts() -> None:
    async def live() -> tuple[list[int], int]:
        store = in_loop_time(CountedStore)
        assert isinstance(store, CountedStore)
        usage = Usage(store, Quotas(stored_bytes=100))
        found = [await status_of(usage, 60), await status_of(usage, 60)]
        # The upload failed: nothing was stored of it, which the next count shows.
        await asyncio.sleep(RECOUNT_SECONDS + 1)
        found += [await status_of(usage, 60)]
        return found, store.listings

    assert in_virtual_time(0, live) == ([0, 507, 0], 2)


def test_deletion_makes_room_soon_but_many_deletions_cause_no_more_counts() -> None:
    async def live() -> tuple[list[int], int]:
        store = in_loop_time(CountedStore)
        assert isinstance(store, CountedStore)
        usage = Usage(store, Quotas(stored_bytes=100))
        files = session(store, "0")
        await store.write(files.path("a.pdf"), bytes(90))
        found = [await status_of(usage, 20)]
        await store.delete(files.path("a.pdf"))
        for _ in range(5):
            usage.deleted(files.user_hash, [])
            found.append(await status_of(usage, 20))
        await asyncio.sleep(RECOUNT_AFTER_DELETION_SECONDS + 1)
        found.append(await status_of(usage, 20))
        return found, store.listings

    assert in_virtual_time(0, live) == ([507] * 6 + [0], 2)


@pytest.mark.parametrize("ends", ["refused", "given up", "given up, direct"])
def test_upload_that_does_not_end_in_a_job_makes_room_soon(ends: str) -> None:
    async def live() -> list[int]:
        store = in_loop_time()
        client = Client(store, stored_bytes_per_user=5000)
        client.web = msgspec.structs.replace(client.web, direct=cast(DirectStore, ReachableStore()))
        client.app.state.web = client.web
        announced = {"Upload_Length": "3000"}
        if ends == "refused":
            head = {"Content_Type": "multipart/form-data; boundary=b", "Content_Length": "3000"}
            assert (await client.send("POST", "/upload", headers=head)).status == 400
        else:
            way = "/api/direct-uploads" if "direct" in ends else "/api/uploads"
            order = (b'{"size":3000}',) if "direct" in ends else ()
            created = await client.send("POST", way, *order, headers=announced)
            assert (await client.send("DELETE", created.headers["location"])).status == 204
        found = [(await client.send("POST", "/api/uploads", headers=announced)).status]
        await asyncio.sleep(RECOUNT_AFTER_DELETION_SECONDS + 1)
        return [*found, (await client.send("POST", "/api/uploads", headers=announced)).status]

    assert in_virtual_time(0, live) == [507, 201]


async def test_of_two_uploads_at_once_that_do_not_both_fit_one_is_refused() -> None:
    usage = Usage(SlowStore(), Quotas(stored_bytes=100))
    assert sorted(await asyncio.gather(status_of(usage, 60), status_of(usage, 60))) == [0, 507]
    assert await status_of(usage, 60) == 507


async def test_pages_of_a_day_count_though_their_job_was_deleted_and_not_for_longer() -> None:
    clock = StorageClock()
    store = MemoryStore(clock)
    usage = Usage(store, Quotas(pages_a_day=3))
    files = session(store, "0")
    await store.write(files.page_outcome_path(1), b"{}")
    assert await status_of(usage) == 0
    usage.deleted(files.user_hash, [clock.now, clock.now - timedelta(hours=20)])
    with pytest.raises(Problem) as refused:
        await usage.admit(files.user_hash)
    assert refused.value.status == 429
    assert 0 < int(refused.value.headers["Retry-After"]) - 4 * 3600 < 10
    clock.wait(4 * 3600 + 10)
    assert await status_of(usage) == 0


@pytest.mark.parametrize(("age", "counted"), [(timedelta(hours=1), 2), (timedelta(days=3), 1)])
async def test_a_page_read_again_counts_again_where_its_job_is_of_the_day(age: timedelta, counted: int) -> None:
    store = MemoryStore()
    made = int(((await store.now()) - age).timestamp() * 1000)
    files = SessionFiles(store=store, user_hash="a" * 12, session_id=f"{made:012x}{'0' * 20}")
    await store.write(files.page_outcome_path(1), b"{}")
    await store.write(files.page_reading_path(1, 1), b"{}")
    await store.write(files.page_image_path(1, 300), b"png")
    assert await status_of(Usage(store, Quotas(pages_a_day=counted))) == 429
    assert await status_of(Usage(store, Quotas(pages_a_day=counted + 1))) == 0


async def test_route_tells_of_the_pages_that_it_deletes() -> None:
    client = Client(MemoryStore(), pages_per_day_per_user=1)
    created = await client.send(
        "POST", "/api/uploads", PDF, headers={"Upload_Length": str(len(PDF)), "Content_Type": BODY_TYPE}
    )
    job_id = created.headers["gnosis-job-id"]
    assert (await client.send("DELETE", f"/api/jobs/{job_id}")).status == 204
    assert (await client.send("POST", "/api/uploads", Upload_Length="9")).status == 201, "no page of it was read"


def test_quotas_follow_the_mode_unless_they_are_set() -> None:
    assert WebConfig().quotas == Quotas()
    assert WebConfig(running_in_cloud=True).quotas == STRANGERS
    assert WebConfig(running_in_cloud=True, pages_per_day_per_user=0).quotas.pages_a_day == 0
    assert WebConfig(stored_bytes_per_user=5).quotas == Quotas(stored_bytes=5)
