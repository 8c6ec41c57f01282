"""Webhooks through web's own routes, over a store in memory and a receiver that listens."""

import asyncio
import base64
import itertools
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest

from libs.jobstate.commit import commit, load
from libs.jobstate.job import Job
from libs.jobstate.notice import ensure, load_notice, retire
from libs.storage import layout
from libs.storage.errors import NotFound
from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles
from libs.storage.store import Stored
from libs.taskqueue.queue import WEBHOOK_QUEUE
from libs.taskqueue.task import OcrTask
from services.web.config import WebConfig
from services.web.webhooks.delivery import LATE, Webhooks
from tests.inprocess import ClientInProcess, configured, outward_client
from tests.jobs import INTAKE
from tests.listening import Server, serving
from tests.reachable import ReachableStore
from tests.required import need_package
from tests.webhooks import webhooks

need_package("standardwebhooks")
from standardwebhooks import Webhook  # noqa: E402

SECRET = f"whsec_{base64.b64encode(bytes(32)).decode()}"
USER = {"X-User-Email": "ada@example.org"}
PDF = b"%PDF-1.7 The secret of the document."
FAILS, TAKES, GONE = (f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n" for status in ("500 No", "204 Yes", "410 Gone"))


class Tasks:
    """A queue that keeps what it is given, and drops names that it has had."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.taken: list[tuple[OcrTask, float]] = []

    async def enqueue(self, queue: str, task: OcrTask, *, name: str, delay_seconds: float = 0.0) -> None:
        if queue == WEBHOOK_QUEUE and name not in self.names:
            self.names.append(name)
            self.taken.append((task, delay_seconds))

    async def health(self, queue: str) -> str:
        return "ok"

    def counts(self, queue: str) -> None:
        return None


class CrowdedStore(MemoryStore):
    """Lets others go on while it reads, and counts how many notices are read at the same time."""

    at_once = 0
    most = 0

    async def read(self, path: str) -> Stored:
        is_notice = path.startswith(layout.USERS)
        self.at_once += is_notice
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0)
        try:
            return await super().read(path)
        finally:
            self.at_once -= is_notice


class Installation(msgspec.Struct, frozen=True, kw_only=True):
    """Web, its store and queue; the clock is the test's."""

    client: ClientInProcess
    store: MemoryStore
    told: Webhooks
    tasks: Tasks
    clock: list[datetime]

    async def job(self, **fields: str) -> SessionFiles:
        """An uploaded document."""
        answer = await self.client.post("/upload", files={"file": ("a.pdf", PDF)}, data=fields, headers=USER)
        assert answer.status_code == 202, answer.text
        user_hash = layout.user_hash(USER["X-User-Email"])
        return SessionFiles(store=self.store, user_hash=user_hash, session_id=answer.json()["job_id"])

    async def end(self, files: SessionFiles, reason: str = "It is torn.") -> None:
        """The job fails, as extraction lets it."""
        at = await self.store.now()
        await retire(files, await commit(files, lambda job: job.extraction_failed(reason, at)))
        await self.told.sweep(since=at)

    async def rounds(self, most: int = 200) -> int:
        """Deliver each task when it is due, until there is none; how many."""
        done = 0
        while self.tasks.taken:
            task, delay = self.tasks.taken.pop(0)
            self.clock[0] += timedelta(seconds=delay)
            await self.told.deliver(task)
            done += 1
            assert done < most, "it goes on for ever"
        return done

    async def shown(self, files: SessionFiles) -> list[dict[str, Any]]:
        answer = await self.client.get(f"/api/jobs/{files.session_id}/webhooks", headers=USER)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["webhooks"]
        return found

    async def undelivered(self) -> list[str]:
        return [stat.path async for stat in self.store.list(layout.UNDELIVERED)]


@asynccontextmanager
async def installed(settings: Mapping[str, Any]) -> AsyncIterator[Installation]:
    clock = [datetime(2026, 1, 1, tzinfo=UTC)]
    store, tasks = ReachableStore(lambda: clock[0]), Tasks()
    config = WebConfig(webhook_secrets=SECRET, **settings)
    async with outward_client() as outward:
        client = configured(config, store, outward, direct=store)
        yield Installation(client=client, store=store, told=webhooks(store, tasks, config), tasks=tasks, clock=clock)


@pytest.fixture
async def install() -> AsyncIterator[Callable[..., Any]]:
    def make(**settings: Any) -> Any:
        return installed(settings)

    yield make


def message(received: bytes, secret: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Headers and body of what a receiver got, verified."""
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")[1:]
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return headers, Webhook(secret).verify(body, headers)


async def own_secret(client: httpx.AsyncClient) -> str:
    return str((await client.get("/api/webhooks", headers=USER)).json()["secrets"][0])


def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}/hook"


def origin(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}"


async def test_a_receiver_that_fails_ten_times_then_accepts_is_told_once(install: Callable[..., Any]) -> None:
    async with serving(*[FAILS] * 10, TAKES) as server, install(webhook_hosts=origin(server)) as web:
        files = await web.job(webhook=url(server))
        await web.end(files)
        await web.rounds()
        # Nothing that comes later tells it again.
        await web.end(files)
        web.clock[0] += timedelta(days=1)
        await web.client.web.sweeper.sweep()
        await web.told.sweep()
        await web.rounds()
        assert server.connections == 11
        secret = await own_secret(web.client)
        verified = [message(received, secret) for received in server.received]
        assert len({headers["webhook-id"] for headers, _ in verified}) == 1
        assert len({json.dumps(body) for _, body in verified}) == 1
        (shown,) = await web.shown(files)
        assert [attempt["status"] for attempt in shown["attempts"]] == [500] * 10 + [204]
        assert (shown["state"], shown["next_attempt_at"]) == ("delivered", None)
        assert await web.undelivered() == []


async def test_the_message_says_what_ended_and_nothing_of_the_text(install: Callable[..., Any]) -> None:
    async with serving(TAKES) as server, install(webhook_hosts=origin(server)) as web:
        files = await web.job(webhook=url(server))
        await web.end(files, "It is torn.")
        await web.rounds()
        headers, body = message(server.received[0], await own_secret(web.client))
    job = await load(files)
    assert (body["type"], body["data"]["job_id"], body["data"]["status"]) == ("job.failed", files.session_id, "failed")
    assert (body["data"]["filename"], body["data"]["error"], body["data"]["run"]) == ("a.pdf", "It is torn.", 1)
    assert body["timestamp"] == body["data"]["ended_at"] == msgspec.to_builtins(job.updated_at)
    assert headers["content-type"] == "application/json"
    assert b"secret of the document" not in server.received[0]


async def test_the_pauses_double_and_a_receiver_that_never_accepts_is_given_up_after_three_days(
    install: Callable[..., Any],
) -> None:
    async with serving(*[FAILS] * 500) as server, install(webhook_hosts=origin(server)) as web:
        files = await web.job(webhook=url(server))
        await web.end(files)
        await web.rounds()
        (shown,) = await web.shown(files)
        assert shown["state"] == "given_up"
        at = [datetime.fromisoformat(attempt["at"]) for attempt in shown["attempts"]]
        pauses = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(at)]
        assert pauses[:4] == [5, 10, 20, 40] and pauses[-1] == 3600
        assert timedelta(days=3) <= at[-1] - at[0] < timedelta(days=3, hours=2)
        assert await web.undelivered() == []


async def test_a_receiver_that_is_gone_is_told_no_more(install: Callable[..., Any]) -> None:
    async with serving(GONE) as server, install(webhook_hosts=origin(server)) as web:
        files = await web.job(webhook=url(server))
        await web.end(files)
        await web.rounds()
        assert server.connections == 1
        assert [(w["state"], len(w["attempts"])) for w in await web.shown(files)] == [("refused", 1)]


async def test_a_receiver_that_is_left_when_webhooks_are_switched_off_is_given_up(install: Callable[..., Any]) -> None:
    async with serving(FAILS) as server, install(webhook_hosts=origin(server)) as web:
        files, untried = await web.job(webhook=url(server)), await web.job(webhook=url(server))
        await web.end(files)
        await web.told.deliver(web.tasks.taken.pop(0)[0])
        await web.end(untried)
        switched_off = webhooks(web.store, web.tasks, WebConfig())
        for task, _ in list(web.tasks.taken):
            await switched_off.deliver(task)
        assert server.connections == 1
        shown = [*await web.shown(files), *await web.shown(untried)]
        assert [(one["state"], one["next_attempt_at"]) for one in shown] == [("given_up", None)] * 2
        assert await web.undelivered() == []


async def test_a_sweep_looks_at_several_notices_at_a_time() -> None:
    store, tasks = CrowdedStore(), Tasks()
    at = await store.now()
    job = msgspec.structs.replace(Job.opened(INTAKE), notify=True, updated_at=at - 2 * LATE)
    job = job.extraction_failed("It is torn.", at - 2 * LATE)
    for _ in range(40):
        await ensure(SessionFiles(store=store, user_hash=job.user_hash, session_id=layout.new_session_id()), job)
    await webhooks(store, tasks, WebConfig()).sweep()
    assert len(tasks.names) == 40, "each is late"
    assert store.most > 1, "one after the other, many would keep the sweep from the active jobs"


async def test_a_receiver_may_ask_for_a_longer_pause_and_its_redirects_are_failures(
    install: Callable[..., Any],
) -> None:
    wait = "HTTP/1.1 503 Later\r\nRetry-After: 100\r\nContent-Length: 0\r\n\r\n"
    moved = "HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"
    async with serving(wait, moved, TAKES) as server, install(webhook_hosts=origin(server)) as web:
        files = await web.job(webhook=url(server))
        await web.end(files)
        task, _ = web.tasks.taken.pop()
        await web.told.deliver(task)
        assert [round(delay) for _, delay in web.tasks.taken] == [100]
        await web.rounds()
        (shown,) = await web.shown(files)
        assert [attempt["status"] for attempt in shown["attempts"]] == [503, 302, 204]
        assert all(b"/hook " in received for received in server.received)


async def test_an_address_for_all_jobs_is_told_with_the_operators_secret_beside_the_owners(
    install: Callable[..., Any],
) -> None:
    async with (
        serving(TAKES, TAKES) as own,
        serving(FAILS, TAKES, TAKES) as operator,
        install(webhook_hosts=origin(own), webhook_url=url(operator)) as web,
    ):
        files = await web.job(webhook=url(own))
        await web.end(files)
        await web.rounds()
        silent = await web.job()
        await web.end(silent)
        await web.rounds()
        assert (own.connections, operator.connections) == (1, 3)
        jobs = [message(received, SECRET)[1]["data"]["job_id"] for received in operator.received]
        assert jobs == [files.session_id, files.session_id, silent.session_id]
        assert await web.shown(silent) == [], "the operator's address is not the owner's to see"


async def test_each_run_is_told(install: Callable[..., Any]) -> None:
    async with serving(*[TAKES] * 3) as server, install(webhook_hosts=origin(server)) as web:
        files = await web.job(webhook=url(server))
        await web.client.post(f"/api/jobs/{files.session_id}/cancel", headers=USER)
        again = await web.client.post(f"/api/jobs/{files.session_id}/retry", headers=USER)
        assert again.json()["run"] == 2, "the end of the first run is told although it is no longer in the record"
        await web.told.sweep(since=await web.store.now())
        await web.rounds()
        await web.end(files)
        await web.rounds()
        secret = await own_secret(web.client)
        told = [message(received, secret) for received in server.received]
        assert [body["type"] for _, body in told] == ["job.cancelled", "job.failed"]
        assert len({headers["webhook-id"] for headers, _ in told}) == 2
        assert [webhook["run"] for webhook in await web.shown(files)] == [2, 1]


async def test_an_end_whose_task_was_lost_is_told_after_the_sweep_finds_it(install: Callable[..., Any]) -> None:
    async with serving(FAILS, TAKES) as server, install(webhook_hosts=origin(server)) as web:
        files = await web.job(webhook=url(server))
        await web.end(files)
        web.tasks.taken.clear()
        await web.told.sweep()
        assert web.tasks.taken == [], "it may still be in the queue"
        web.clock[0] += LATE + timedelta(seconds=1)
        await web.told.sweep()
        lost = [task for task, _ in web.tasks.taken]
        await web.told.deliver(web.tasks.taken.pop()[0])
        web.tasks.taken.clear()
        web.clock[0] += LATE + timedelta(minutes=2)
        await web.told.sweep()
        await web.rounds()
        assert server.connections == 2
        for task in lost:
            assert not await web.told.deliver(task), "a late task does nothing"


async def test_a_job_that_ended_as_its_process_died_is_told(install: Callable[..., Any]) -> None:
    async with serving(TAKES) as server, install(webhook_hosts=origin(server)) as web:
        files = await web.job(webhook=url(server))
        at = await web.store.now()
        # It dies before anything else: only the record says that the job has ended.
        await commit(files, lambda job: job.extraction_failed("It is torn.", at))
        with pytest.raises(NotFound):
            await load_notice(files, 1)
        await web.client.web.sweeper.sweep()
        assert await web.undelivered() == [files.undelivered_path(1)]
        await web.told.sweep(since=at)
        await web.rounds()
        assert server.connections == 1
        await ensure(files, await load(files))
        assert await web.undelivered() == []


async def test_the_end_of_a_deleted_job_is_not_told(install: Callable[..., Any]) -> None:
    async with serving() as server, install(webhook_hosts=origin(server)) as web:
        files = await web.job(webhook=url(server))
        await web.end(files)
        await web.client.delete(f"/api/jobs/{files.session_id}", headers=USER)
        await web.rounds()
        await web.told.sweep()
        assert server.connections == 0
        assert await web.undelivered() == []


async def test_an_address_that_has_become_a_private_one_is_not_called(install: Callable[..., Any]) -> None:
    async with serving() as trap, install(webhook_hosts=f"*:{trap.port}") as web:
        files = await web.job(webhook=f"https://localhost:{trap.port}/hook")
        await web.end(files)
        await web.told.deliver(web.tasks.taken.pop()[0])
        (shown,) = await web.shown(files)
        assert "not on the internet" in shown["attempts"][0]["error"]
        assert trap.connections == 0


@pytest.mark.parametrize(
    ("settings", "webhook", "title"),
    [
        ({}, "https://hooks.example.com", "No webhooks here"),
        ({"webhook_hosts": "hooks.example.com"}, "https://other.example.com", "Webhook refused"),
        ({"webhook_hosts": "*"}, "http://hooks.example.com", "Webhook refused"),
        ({"webhook_hosts": "*"}, "nonsense", "Webhook refused"),
    ],
)
@pytest.mark.parametrize("way", ["multipart", "tus", "direct"])
async def test_an_address_that_is_not_allowed_is_refused_when_it_is_named(
    install: Callable[..., Any], settings: dict[str, str], webhook: str, title: str, way: str
) -> None:
    async with install(**settings) as web:
        if way == "multipart":
            answer = await web.client.post("/upload", files={"file": ("a.pdf", PDF)}, data={"webhook": webhook})
        elif way == "tus":
            metadata = f"webhook {base64.b64encode(webhook.encode()).decode()}"
            headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "10", "Upload-Metadata": metadata}
            answer = await web.client.post("/api/uploads", headers=headers)
        else:
            answer = await web.client.post("/api/direct-uploads", json={"size": 10, "webhook": webhook})
        assert (answer.status_code, answer.json()["title"]) == (422, title)


async def test_users_see_their_own_secrets_where_webhooks_are_allowed(install: Callable[..., Any]) -> None:
    async with install() as web:
        assert (await web.client.get("/api/webhooks", headers=USER)).json() == {"allowed": False, "secrets": []}
    async with install(webhook_hosts="*") as web:
        answer = await web.client.get("/api/webhooks", headers=USER)
        other = await web.client.get("/api/webhooks", headers={"X-User-Email": "grace@example.org"})
        assert answer.json()["secrets"] != other.json()["secrets"]
        assert SECRET not in answer.text
        assert answer.headers["Cache-Control"] == "no-store"
