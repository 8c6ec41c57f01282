"""The delivery of webhooks: one task of the queue is one round, in which every receiver that is left is tried."""

import asyncio
import hashlib
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol

import httpx
import msgspec
import structlog

from libs.fanout import fan_out
from libs.jobstate import active
from libs.jobstate.notice import (
    Attempt,
    DeliveryState,
    Notice,
    StoredNotice,
    TornNotice,
    forget,
    load_notice,
    replace,
    undelivered,
)
from libs.outbound.client import outbound_client
from libs.outbound.rules import Refused, Rules
from libs.retry import retry_after_seconds
from libs.storage import layout
from libs.storage.errors import NotFound, PreconditionFailed
from libs.storage.session import SessionFiles, owner_of
from libs.storage.store import ObjectStore
from libs.taskqueue.queue import WEBHOOK_QUEUE, TaskQueue
from libs.taskqueue.queue_settings import QueueSettings
from libs.taskqueue.task import OcrTask, webhook_task
from services.web.webhooks.settings import WebhookSettings
from services.web.webhooks.signature import Secrets

log = structlog.get_logger()

#: The receivers of a notice: the address that the job's owner gave, and the one for all jobs.
OWNER, OPERATOR = "owner", "operator"
#: A round that has not begun so long after it was due may have lost its task. Chosen: as for jobs (`sweeper.STILL`).
LATE = timedelta(minutes=1)
#: Seconds for one attempt, from the connection to the answer's head. Standard Webhooks recommends 15 to 30.
ATTEMPT_SECONDS = 15.0


def message_id(session_id: str, run: int, receiver: str) -> str:
    """The `webhook-id`: the same in every attempt, so that a receiver knows what it has."""
    return "msg_" + hashlib.sha256(f"{session_id}/{run}/{receiver}".encode()).hexdigest()[:32]


def event_type(notice: Notice) -> str:
    """Such as `job.completed`."""
    return f"job.{notice.status}"


def event(session_id: str, notice: Notice) -> bytes:
    """The body of a message: what ended and how, and nothing of the document's text."""
    address = f"/api/jobs/{session_id}"
    return msgspec.json.encode(
        {
            "type": event_type(notice),
            "timestamp": notice.ended_at,
            "data": {
                "job_id": session_id,
                "run": notice.run,
                "status": notice.status,
                "error": notice.error,
                "filename": notice.filename,
                "pages": notice.pages,
                "pages_completed": notice.pages_completed,
                "pages_failed": notice.pages_failed,
                "created_at": notice.created_at,
                "ended_at": notice.ended_at,
                "links": {"status": f"{address}/status", "result": f"{address}/result"},
            },
        }
    )


class OpenClient(Protocol):
    """Makes the client for addresses under these rules; `outbound_client` is one."""

    def __call__(self, rules: Rules, *, seconds: float) -> httpx.AsyncClient: ...


class Receiver(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told."""

    url: str
    client: httpx.AsyncClient
    secrets: Secrets


class Webhooks:
    """Tells the ends of jobs. `schedule`: the settings of the queue, whose pauses and limits hold between rounds."""

    def __init__(
        self,
        store: ObjectStore,
        queue: TaskQueue,
        settings: WebhookSettings,
        schedule: QueueSettings,
        *,
        open_client: OpenClient = outbound_client,
    ) -> None:
        self._store = store
        self._queue = queue
        #: Which addresses are told, and with which secrets.
        self.settings = settings
        self._schedule = schedule
        self._open_client = open_client
        self._clients: dict[str, httpx.AsyncClient] = {}

    async def deliver(self, task: OcrTask) -> bool:
        """Work on a task; whether it tried to deliver. After `StorageError` or `QueueUnavailable` it comes again."""
        user_hash = task.user_hash or layout.user_hash(task.user_email)
        files = SessionFiles(store=self._store, user_hash=user_hash, session_id=task.session_id)
        try:
            entry = active.decode((await self._store.read(files.undelivered_path(task.run))).data)
            stored = await load_notice(files, task.run)
            # A task of an earlier round or waking is late: a newer one does its work.
            late = task.round != stored.notice.rounds or task.wake < entry.wakes
            if await self._is_over(files, stored.notice) or late:
                return False
            notice = await self._round(files, stored)
        except (NotFound, TornNotice, PreconditionFailed):
            return False  # all is delivered, the job was deleted, or another delivery of this task was faster
        if not notice.closed:
            await self._enqueue(files, notice, task.wake)
        return True

    async def sweep(self, since: datetime | None = None) -> None:
        """Wake what should have been tried and was not. `since`: tasks that were enqueued earlier are lost.

        Raises `StorageError`, `QueueUnavailable`.
        """
        paths = [stat.path async for stat in self._store.list(layout.UNDELIVERED)]
        # Several at a time: a receiver that is down for days leaves many, and the next look at active jobs waits for
        # this one.
        await fan_out(partial(self._look, since), paths)

    async def _look(self, since: datetime | None, path: str) -> None:
        try:
            files, run = undelivered(self._store, path)
            stored = await load_notice(files, run)
        except (NotFound, TornNotice):  # a deletion removes the notice
            with suppress(NotFound):
                await self._store.delete(path)
            return
        except ValueError:  # an object whose name is not a notice's
            log.error("notice_unreadable", path=path)
            return
        with suppress(NotFound, PreconditionFailed):  # delivered just now, or another sweeper was faster
            await self._wake(files, stored, since)

    async def _wake(self, files: SessionFiles, told: StoredNotice, since: datetime | None) -> None:
        notice, now = told.notice, await self._store.now()
        is_lost = since is not None and told.updated_at <= since
        if not notice.closed and not is_lost and (notice.next_at or notice.ended_at) + LATE > now:
            return
        if await self._is_over(files, notice):
            return
        path = files.undelivered_path(notice.run)
        stored = await self._store.read(path)
        entry = active.decode(stored.data)
        if not entry.due(notice.rounds, now, since):
            return
        entry = entry.again(notice.rounds, now)
        await self._enqueue(files, notice, entry.wakes)
        # Only now, since it ends the tasks of earlier wakings.
        await self._store.write(path, active.encode(entry), if_generation=stored.generation)
        log.info("webhook_woken", job_id=files.session_id, run=notice.run, times=entry.times)

    async def _is_over(self, files: SessionFiles, notice: Notice) -> bool:
        """Whether nothing is left to be delivered; the notice then leaves the index."""
        if not notice.closed and not await files.is_deleted():
            return False
        await forget(files, notice.run)
        return True

    async def _enqueue(self, files: SessionFiles, notice: Notice, wake: int) -> None:
        task, name = webhook_task(
            session_id=files.session_id, user_hash=files.user_hash, run=notice.run, round=notice.rounds, wake=wake
        )
        delay = 0.0 if notice.next_at is None else (notice.next_at - await self._store.now()).total_seconds()
        await self._queue.enqueue(WEBHOOK_QUEUE, task, name=name, delay_seconds=max(0.0, delay))

    async def _round(self, files: SessionFiles, stored: StoredNotice) -> Notice:
        """Try every receiver that is left, once. Raises `StorageError`, `PreconditionFailed`."""
        notice = stored.notice
        receivers = {
            name: receiver
            for name, receiver in (await self._receivers(files, notice)).items()
            if notice.state(name) is DeliveryState.PENDING
        }
        body = event(files.session_id, notice)
        answers = await asyncio.gather(
            *(
                self._try(receiver, message_id(files.session_id, notice.run, name), body)
                for name, receiver in receivers.items()
            )
        )
        attempts = {name: attempt for name, (attempt, _) in zip(receivers, answers, strict=True)}
        now = await self._store.now()
        asked = max((seconds for _, seconds in answers), default=0.0)
        tried = notice.tried(attempts, now, self._pause(notice, now, asked) if receivers else None)
        await replace(files, stored, tried)
        for name, attempt in attempts.items():
            state = tried.state(name)
            log.info(
                "webhook_tried", job_id=files.session_id, run=notice.run, to=name, status=attempt.status, state=state
            )
        return tried

    def _pause(self, notice: Notice, now: datetime, asked: float) -> timedelta | None:
        """How long until the next round; `None` where the queue's limits are passed. `asked`: by `Retry-After`."""
        rounds = notice.rounds + 1
        first = min((d.attempts[0].at for d in notice.deliveries.values() if d.attempts), default=now)
        if self._schedule.is_exhausted(attempts=rounds, age_seconds=(now - first).total_seconds()):
            return None
        return timedelta(seconds=max(self._schedule.backoff_seconds(rounds), asked))

    async def _receivers(self, files: SessionFiles, notice: Notice) -> Mapping[str, Receiver]:
        settings, found = self.settings, {}
        if not settings.secrets.keys:
            return {}  # webhooks were switched off since
        if notice.webhook is not None and (email := await owner_of(files)) is not None:
            found[OWNER] = Receiver(
                url=notice.webhook, client=self._client(OWNER), secrets=settings.secrets.of_user(email)
            )
        if settings.url:
            found[OPERATOR] = Receiver(url=settings.url, client=self._client(OPERATOR), secrets=settings.secrets)
        return found

    def _client(self, name: str) -> httpx.AsyncClient:
        """Made once, since that loads certificates; it keeps no connection that would have to be closed."""
        if name not in self._clients:
            rules = self.settings.rules if name == OWNER else self.settings.own_rules
            self._clients[name] = self._open_client(rules, seconds=ATTEMPT_SECONDS)
        return self._clients[name]

    async def _try(self, receiver: Receiver, name: str, body: bytes) -> tuple[Attempt, float]:
        """One attempt, and the seconds for which the receiver asks to be left alone."""
        at, began = await self._store.now(), asyncio.get_running_loop().time()
        status, error, asked = None, None, 0.0
        # The clock of the machine, since the receiver compares it with its own.
        headers = receiver.secrets.headers(name, int(datetime.now(UTC).timestamp()), body)
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                request = receiver.client.build_request(
                    "POST", receiver.url, content=body, headers={"Content-Type": "application/json", **headers}
                )
                response = await receiver.client.send(request, stream=True)
                await response.aclose()  # what it says is not read
                status = response.status_code
                asked = retry_after_seconds(response.headers.get("Retry-After", ""), at.timestamp()) or 0.0
        except TimeoutError:
            error = f"no answer within {ATTEMPT_SECONDS:g} s"
        except (httpx.TransportError, httpx.InvalidURL) as fault:
            error = type(fault).__name__
        except Refused as fault:
            error = str(fault)
        seconds = round(asyncio.get_running_loop().time() - began, 3)
        return Attempt(at=at, status=status, error=error, seconds=seconds), asked
