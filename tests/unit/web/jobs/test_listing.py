"""The list of jobs: its pages, its filters, and what a call reads for them."""

from itertools import chain
from typing import Any

import httpx
import msgspec
import pytest

from libs.jobstate import record
from libs.jobstate.job import Job
from libs.jobstate.status import JobStatus
from libs.storage import layout
from libs.storage.memory import MemoryStore
from libs.storage.store import Stored
from services.web.jobs.listing import MAX_LISTED, MAX_QUERY, MAX_READ
from tests.inprocess import ClientInProcess
from tests.jobs import INTAKE
from tests.unit.web.jobs.conftest import Serve

ADA = "ada@example.org"
STATUSES = tuple(JobStatus)


class CountedStore(MemoryStore):
    """Counts what is read."""

    reads = 0

    async def read(self, path: str) -> Stored:
        self.reads += 1
        return await super().read(path)


def session_id(number: int) -> str:
    return f"{number:032x}"


async def stored(store: MemoryStore, number: int, *, status: JobStatus, name: str, user: str = ADA) -> str:
    """A job whose id is the `number`, as its record shows it in the list."""
    info = msgspec.structs.replace(INTAKE.file_info, filename=name)
    intake = msgspec.structs.replace(INTAKE, session_id=session_id(number), user_email=user, file_info=info)
    job = msgspec.structs.replace(Job.opened(intake), status=status)
    path = layout.session_prefix(layout.user_hash(ADA), job.session_id) + layout.RECORD
    await store.write(path, record.encode(job))
    return job.job_id


class Listed:
    """The list as one user asks for it."""

    def __init__(self, client: ClientInProcess, store: CountedStore) -> None:
        self.client = client
        self.store = store

    async def get(self, *, user: str = ADA, **params: str | int) -> dict[str, Any]:
        answer = await self.ask(user=user, **params)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def ask(self, *, user: str = ADA, **params: str | int) -> httpx.Response:
        return await self.client.get("/api/jobs", params=params, headers={"X-User-Email": user})

    async def pages(self, **params: Any) -> list[list[int]]:
        """The numbers of the jobs on every page."""
        pages = []
        cursor: dict[str, Any] = {}
        while True:
            found = await self.get(**params, **cursor)
            pages.append([int(job["job_id"], 16) for job in found["jobs"]])
            if found["next_cursor"] is None:
                return pages
            cursor = {"cursor": found["next_cursor"]}


@pytest.fixture
def listed(serve: Serve) -> Listed:
    store = CountedStore()
    return Listed(serve(store), store)


async def seven_each(store: MemoryStore) -> None:
    """Jobs 1 to 49, whose statuses take turns."""
    for number in range(1, 50):
        await stored(store, number, status=STATUSES[number % 7], name=f"Scan {number}.pdf")


async def test_every_job_is_on_one_page_of_the_list_newest_first(listed: Listed) -> None:
    await seven_each(listed.store)
    pages = await listed.pages(limit=20)
    assert [len(page) for page in pages] == [20, 20, 9]
    assert list(chain(*pages)) == list(range(49, 0, -1))
    listed.store.reads = 0
    await listed.get(limit=20)
    assert listed.store.reads == 20, "a list without a filter reads what it shows"


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
@pytest.mark.parametrize("statuses", [("failed",), ("failed", "partial"), tuple(JobStatus)])
async def test_pages_of_a_filtered_list_are_full_and_have_each_job_once(
    listed: Listed, statuses: tuple[str, ...], limit: int
) -> None:
    await seven_each(listed.store)
    wanted = [number for number in range(49, 0, -1) if STATUSES[number % 7] in statuses]
    pages = await listed.pages(limit=limit, status=",".join(statuses))
    assert list(chain(*pages)) == wanted
    assert all(len(page) == limit for page in pages[:-1])
    assert pages == await listed.pages(limit=limit, status=" , ".join(reversed(statuses))), "in any order"


@pytest.mark.parametrize(
    ("q", "numbers"),
    [
        ("MINUTES", [2, 1]),
        ("2025", [3, 2]),
        (" 2025.pdf ", [3, 2]),
        ("caf\u00e9", [4]),
        ("CAFE\u0301", [4]),
        ("strasse", [5]),
        ("%", [6]),
        (".*", []),
        ("", [6, 5, 4, 3, 2, 1]),
        ("  ", [6, 5, 4, 3, 2, 1]),
    ],
)
async def test_a_part_of_the_name_is_found_whatever_its_case(listed: Listed, q: str, numbers: list[int]) -> None:
    names = ("Minutes.pdf", "minutes 2025.pdf", "Bill 2025.PDF", "Cafe\u0301.png", "Stra\u00dfe.pdf", "100 %.pdf")
    for number, name in enumerate(names, start=1):
        await stored(listed.store, number, status=JobStatus.COMPLETED, name=name)
    assert await listed.pages(q=q) == [numbers]


async def test_both_filters_hold_together(listed: Listed) -> None:
    await seven_each(listed.store)
    assert await listed.pages(q="scan 4", status="queued,extracting") == [[49, 43, 42]]


async def test_one_call_reads_a_bounded_number_of_records_and_the_next_one_goes_on(listed: Listed) -> None:
    for number in range(1, 2 * MAX_READ + 2):
        wanted = number in (1, MAX_READ + 1)
        await stored(listed.store, number, status=JobStatus.FAILED if wanted else JobStatus.COMPLETED, name="a.pdf")
    reads = []
    for cursor, found, goes_on in (
        ("", [], session_id(MAX_READ + 2)),
        (session_id(MAX_READ + 2), [MAX_READ + 1], session_id(2)),
        (session_id(2), [1], None),
    ):
        listed.store.reads = 0
        answer = await listed.get(status="failed", cursor=cursor)
        assert [int(job["job_id"], 16) for job in answer["jobs"]] == found
        assert answer["next_cursor"] == goes_on
        reads.append(listed.store.reads)
    assert reads == [MAX_READ, MAX_READ, 1]


async def test_a_session_that_cannot_be_listed_takes_no_place_on_a_page(listed: Listed) -> None:
    for number in range(1, 31):
        await stored(listed.store, number, status=JobStatus.COMPLETED, name="a.pdf")
    folder = layout.user_prefix(layout.user_hash(ADA))
    await listed.store.write(f"{folder}{session_id(29)}/{layout.RECORD}", b"{")  # torn
    await listed.store.delete(f"{folder}{session_id(28)}/{layout.RECORD}")
    await listed.store.write(f"{folder}{session_id(28)}/{layout.UPLOAD}", b"{}")  # still being uploaded
    assert [len(page) for page in await listed.pages(limit=10)] == [10, 10, 8]


async def test_a_user_with_the_same_hash_finds_nothing_of_anothers(listed: Listed) -> None:
    await stored(listed.store, 1, status=JobStatus.FAILED, name="secret.pdf", user="twin@example.org")
    for params in ({}, {"q": "secret"}, {"status": "failed"}):
        assert await listed.get(**params) == {"jobs": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "done"),
        ("status", "Failed"),
        ("status", "failed,"),
        ("status", "failed partial"),
        ("q", "a" * (MAX_QUERY + 1)),
        ("limit", str(MAX_LISTED + 1)),
        ("cursor", "x"),
    ],
)
async def test_what_cannot_be_meant_is_refused(listed: Listed, name: str, value: str) -> None:
    answer = await listed.ask(**{name: value})
    assert answer.status_code == 422
    assert answer.json()["title"] == f"Bad {name}"
    assert answer.json()["hint"]
