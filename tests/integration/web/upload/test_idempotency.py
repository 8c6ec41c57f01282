"""`Idempotency-Key`: one upload makes one job, wherever a process dies and however many receive it at a time."""

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from libs.storage import layout
from libs.storage.memory import MemoryStore
from services.web.idempotency import KEPT
from tests.inprocess import ClientInProcess

PDF = b"%PDF-1.7 a document"
ADA, GRACE = "ada@example.org", "grace@example.org"
KEY = {"Idempotency-Key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}
OPERATIONS = ("read", "open_read", "write", "delete", "stat", "list", "children")
OVER = 3


class Died(BaseException):
    """The process is dead: nothing that it would still do is done."""


class MortalStore:
    """A process's way to the store: the process dies at an operation, before it or when it is done."""

    def __init__(self, store: MemoryStore, *, at: int, done: bool) -> None:
        self._store = store
        self._left = at
        self._done = done
        #: Whether it has died.
        self.dead = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name not in OPERATIONS:
            return found
        if self.dead:
            raise Died
        if self._left:
            self._left -= 1
            return found
        self.dead = True
        if not self._done or name in ("open_read", "list", "children"):
            raise Died

        async def doomed(*arguments: Any, **options: Any) -> None:
            await found(*arguments, **options)
            raise Died

        return doomed


class HesitantStore:
    """A process's way to the store, on which each operation takes its time."""

    def __init__(self, store: MemoryStore, dice: random.Random) -> None:
        self._store = store
        self._dice = dice

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name not in ("read", "write", "delete", "stat"):
            return found

        async def later(*arguments: Any, **options: Any) -> Any:
            for _ in range(self._dice.randrange(4)):
                await asyncio.sleep(0)
            result = await found(*arguments, **options)
            for _ in range(self._dice.randrange(4)):
                await asyncio.sleep(0)
            return result

        return later


async def send(
    client: httpx.AsyncClient,
    *,
    content: bytes = PDF,
    name: str = "a.pdf",
    user: str = ADA,
    headers: dict[str, str] = KEY,
    **fields: str,
) -> httpx.Response:
    return await client.post(
        "/upload", files={"file": (name, content)}, data=fields, headers={**headers, "X-User-Email": user}
    )


async def paths(store: MemoryStore, prefix: str = "") -> list[str]:
    return [stat.path async for stat in store.list(prefix)]


async def made(store: MemoryStore) -> list[str]:
    """The ids of the jobs that were made."""
    return [path.split("/")[2] for path in await paths(store, layout.USERS) if path.endswith(f"/{layout.INTAKE}")]


async def test_the_same_upload_is_the_same_job(serve: Callable[..., ClientInProcess]) -> None:
    store = MemoryStore()
    first = await send(serve(store), pages="1-2", dpi="200")
    stored = await paths(store)
    for client in (serve(store), serve(store)):
        again = await send(client, dpi="200", pages="1-2")
        assert (again.status_code, again.json()) == (202, first.json())
        assert again.headers["Location"] == first.headers["Location"]
    assert await paths(store) == stored
    bare = await send(
        serve(store), headers={"Idempotency-Key": KEY["Idempotency-Key"].strip('"')}, pages="1-2", dpi="200"
    )
    assert bare.json() == first.json()


@pytest.mark.parametrize(
    "changed",
    [{"content": PDF + b"!"}, {"name": "b.pdf"}, {"pages": "2"}, {"content": PDF[:-1]}],
    ids=["content", "name", "option", "shorter"],
)
async def test_another_upload_with_the_key_is_refused(
    serve: Callable[..., ClientInProcess], changed: dict[str, Any]
) -> None:
    store = MemoryStore()
    client = serve(store)
    await send(client)
    stored = await paths(store)
    refused = await send(client, **changed)
    assert (refused.status_code, refused.json()["title"]) == (422, "Key used")
    assert await paths(store) == stored


async def test_keys_are_a_users_own_and_uploads_without_one_are_separate(
    serve: Callable[..., ClientInProcess],
) -> None:
    store = MemoryStore()
    client = serve(store)
    twins = ("u24485408@sec.example", "u34974273@sec.example")  # their addresses have the same hash
    for user in (ADA, GRACE, *twins):
        assert (await send(client, user=user)).status_code == 202
    assert (await send(client, headers={"Idempotency-Key": "another"})).status_code == 202
    for _ in range(2):
        assert (await send(client, headers={})).status_code == 202
    assert len(await made(store)) == 7


@pytest.mark.parametrize("key", ["", '""', "a b", "x" * 256, "ä".encode().decode("latin-1")])
async def test_a_key_that_is_none_is_refused(serve: Callable[..., ClientInProcess], key: str) -> None:
    refused = await serve(MemoryStore()).post(
        "/upload", files={"file": ("a.pdf", PDF)}, headers={b"Idempotency-Key": key.encode("latin-1")}
    )
    assert (refused.status_code, refused.json()["title"]) == (400, "Bad key")


async def test_a_refused_upload_leaves_its_key_free(serve: Callable[..., ClientInProcess]) -> None:
    store = MemoryStore()
    client = serve(store)
    assert (await send(client, content=b"no document")).status_code == 415
    assert (await send(client, dpi="1")).status_code == 422
    assert await paths(store) == []
    assert (await send(client)).status_code == 202


async def test_a_retry_is_answered_where_the_user_may_have_no_further_job(
    serve: Callable[..., ClientInProcess],
) -> None:
    client = serve(MemoryStore(), active_jobs_per_user=1)
    first = await send(client)
    assert (await send(client, headers={})).status_code == 429
    assert (await send(client)).json() == first.json()


async def test_the_key_of_a_deleted_job_makes_a_new_one(serve: Callable[..., ClientInProcess]) -> None:
    store = MemoryStore()
    client = serve(store)
    first = (await send(client)).json()["job_id"]
    gone = await client.delete(f"/api/jobs/{first}", headers={"X-User-Email": ADA})
    assert gone.status_code == 204
    second = (await send(client, name="other.pdf")).json()["job_id"]
    assert await made(store) == [second] != [first]


async def test_a_key_counts_for_a_day_and_the_sweep_removes_it(serve: Callable[..., ClientInProcess]) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    store = MemoryStore(lambda: now)
    client = serve(store)
    first = (await send(client)).json()["job_id"]
    now += KEPT
    await client.web.sweeper.sweep()
    assert (await send(client)).json()["job_id"] == first
    now += timedelta(seconds=1)
    second = (await send(client)).json()["job_id"]
    assert second != first
    now += KEPT + timedelta(seconds=1)
    await client.web.sweeper.sweep()
    assert await paths(store, layout.IDEMPOTENCY) == []
    assert sorted(await made(store)) == sorted([first, second])


async def test_a_second_request_is_told_to_wait_while_the_first_is_received(
    serve: Callable[..., ClientInProcess],
) -> None:
    client = serve(MemoryStore())
    with client.web.keys.received(ADA, KEY["Idempotency-Key"].strip('"')):
        early = await send(client)
        assert (early.status_code, early.headers["Retry-After"]) == (409, "5")
        assert (await send(client, user=GRACE)).status_code == 202
    assert (await send(client)).status_code == 202


@pytest.mark.parametrize("done", [False, True], ids=["before it", "when it is done"])
async def test_a_process_that_dies_at_any_operation_of_the_storage_loses_no_job_and_makes_no_second(
    serve: Callable[..., ClientInProcess], done: bool
) -> None:
    at, deaths = 0, 0
    while True:
        store = MemoryStore()
        mortal = MortalStore(store, at=at, done=done)
        try:
            answer = await send(serve(mortal))
        except Died:
            deaths += 1
        if not mortal.dead:
            break
        # The next one dies too, at each of its first operations, before a third gets through.
        for again in range(0, 30, OVER):
            second = MortalStore(store, at=again, done=done)
            try:
                answer = await send(serve(second))
            except Died:
                continue
            if not second.dead:
                break
        answer = await send(serve(store))
        assert answer.status_code == 202
        job_id = answer.json()["job_id"]
        assert await made(store) == [job_id], f"after the death at operation {at}"
        assert (await store.read(f"{layout.session_prefix(layout.user_hash(ADA), job_id)}a.pdf")).data == PDF
        assert (await send(serve(store))).json()["job_id"] == job_id
        at += 1
    assert deaths == at >= 8, "hardly any operation was tried"


@pytest.mark.parametrize("seed", range(30))
async def test_two_processes_that_receive_the_same_upload_make_one_job(
    serve: Callable[..., ClientInProcess], seed: int
) -> None:
    store, dice = MemoryStore(), random.Random(seed)
    replicas = [serve(HesitantStore(store, dice)) for _ in range(3)]
    answers = await asyncio.gather(*(send(replica) for replica in replicas))
    (job_id,) = await made(store)
    assert {answer.status_code for answer in answers} == {202}
    assert {answer.json()["job_id"] for answer in answers} == {job_id}
    sessions = {path.split("/")[2] for path in await paths(store, layout.USERS)}
    assert sessions == {job_id}, "what the others have received is left"


async def test_two_processes_that_receive_different_uploads_accept_one(serve: Callable[..., ClientInProcess]) -> None:
    store, dice = MemoryStore(), random.Random(1)
    replicas = [serve(HesitantStore(store, dice)) for _ in range(2)]
    answers = await asyncio.gather(*(send(one, content=PDF + bytes([n])) for n, one in enumerate(replicas)))
    assert sorted(answer.status_code for answer in answers) == [202, 422]
    assert len(await made(store)) == 1
