"""The notice of a run's end: what webhooks tell, and what became of telling it. One object for each run of a job.

It is stored before the job leaves the index of active jobs, and is in an index of its own until nothing of it is left
to be delivered. So a sweep finds an end that was not told, whichever process died when. The entries of that index
are as those of active jobs: they count the wakings.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from libs.codec import Codec, TornObject
from libs.jobstate import active
from libs.jobstate.active import Active
from libs.jobstate.job import Job
from libs.jobstate.page import PageStatus
from libs.jobstate.status import JobStatus
from libs.storage import layout
from libs.storage.errors import NotFound, PreconditionFailed
from libs.storage.pace import write_paced
from libs.storage.session import SessionFiles
from libs.storage.store import ObjectStore


class DeliveryState(StrEnum):
    """What became of telling one receiver."""

    #: Not yet delivered: it is tried, or tried again.
    PENDING = "pending"
    #: The receiver answered 2xx.
    DELIVERED = "delivered"
    #: The receiver answered 410: it wants no more.
    REFUSED = "refused"
    #: Tried for as long as the queue's settings allow, or until the operator switched webhooks off.
    GIVEN_UP = "given_up"


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try to deliver."""

    at: datetime
    #: Of the receiver's answer; `None` without one.
    status: int | None = None
    #: Why there was no answer.
    error: str | None = None
    #: How long it took.
    seconds: float

    @property
    def state(self) -> DeliveryState:
        """What the answer means for the delivery."""
        if self.status is not None and 200 <= self.status < 300:
            return DeliveryState.DELIVERED
        return DeliveryState.REFUSED if self.status == 410 else DeliveryState.PENDING


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """The telling of one receiver."""

    state: DeliveryState = DeliveryState.PENDING
    attempts: tuple[Attempt, ...] = ()


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """`webhooks/RUN.json`. It has no text of the document."""

    run: int
    status: JobStatus
    error: str | None
    filename: str
    #: Numbers of pages: those of the plan, and how they ended.
    pages: int
    pages_completed: int
    pages_failed: int
    created_at: datetime
    ended_at: datetime
    #: The address that the job's owner gave, if any.
    webhook: str | None
    #: By receiver.
    deliveries: dict[str, Delivery] = {}
    #: How often delivery was tried; each time every receiver that is left is tried.
    rounds: int = 0
    #: When it is tried again.
    next_at: datetime | None = None
    #: Nothing is left to be delivered.
    closed: bool = False

    @classmethod
    def of(cls, job: Job) -> "Notice":
        """Of a job that has ended."""
        return cls(
            run=job.run,
            status=job.status,
            error=job.error,
            filename=job.file_info.filename,
            pages=len(job.pages),
            pages_completed=job.count(PageStatus.COMPLETED),
            pages_failed=job.count(PageStatus.FAILED),
            created_at=job.created_at,
            ended_at=job.updated_at,
            webhook=job.options.webhook,
        )

    def state(self, receiver: str) -> DeliveryState:
        """What became of telling this receiver."""
        state = self.deliveries.get(receiver, Delivery()).state
        return DeliveryState.GIVEN_UP if self.closed and state is DeliveryState.PENDING else state

    def tried(self, attempts: Mapping[str, Attempt], at: datetime, again_in: timedelta | None) -> "Notice":
        """After one more round, in which all receivers that were left were tried.

        Those that are left now are tried again `again_in` later, and given up where that is `None`.
        """
        deliveries = dict(self.deliveries)
        for receiver, attempt in attempts.items():
            state = attempt.state
            if state is DeliveryState.PENDING and again_in is None:
                state = DeliveryState.GIVEN_UP
            before = self.deliveries.get(receiver, Delivery()).attempts
            deliveries[receiver] = Delivery(state=state, attempts=(*before, attempt))
        left = again_in is not None and any(d.state is DeliveryState.PENDING for d in deliveries.values())
        return msgspec.structs.replace(
            self,
            deliveries=deliveries,
            rounds=self.rounds + 1,
            next_at=at + again_in if again_in is not None and left else None,
            closed=not left,
        )


class TornNotice(TornObject):
    """The stored notice cannot be decoded."""


class StoredNotice(msgspec.Struct, frozen=True, kw_only=True):
    """A notice at a generation of its object."""

    notice: Notice
    generation: int
    #: When it was stored: its next round was enqueued then, or right after.
    updated_at: datetime


_codec = Codec(Notice, TornNotice)
encode, decode = _codec.encode, _codec.decode


async def load_notice(files: SessionFiles, run: int) -> StoredNotice:
    """The notice of this run. Raises `NotFound`, `TornNotice`."""
    stored = await files.store.read(files.notice_path(run))
    return StoredNotice(notice=decode(stored.data), generation=stored.generation, updated_at=stored.updated_at)


async def replace(files: SessionFiles, stored: StoredNotice, notice: Notice) -> None:
    """Store the notice in place of `stored`. Raises `PreconditionFailed` where another process did, `StorageError`."""
    path = files.notice_path(notice.run)
    await write_paced(files.store, path, encode(notice), if_generation=stored.generation)
    if notice.closed:
        await forget(files, notice.run)


async def forget(files: SessionFiles, run: int) -> None:
    """Remove the notice from the index of what is to be delivered."""
    with suppress(NotFound):
        await files.store.delete(files.undelivered_path(run))


async def ensure(files: SessionFiles, job: Job) -> None:
    """Store the notice of an ended job's run, if its end is to be told; may be called again.

    Raises `StorageError`; the sweep then calls it, while the job is in the index of active jobs.
    """
    if not (job.ended and job.notify):
        return
    try:
        await write_paced(files.store, files.notice_path(job.run), encode(Notice.of(job)), if_generation=0)
    except PreconditionFailed:
        with suppress(TornNotice, NotFound):
            if (await load_notice(files, job.run)).notice.closed:
                return
    with suppress(PreconditionFailed):  # it is there already, with the wakings that it has had
        entry = active.encode(Active(run=job.run))
        await write_paced(files.store, files.undelivered_path(job.run), entry, if_generation=0)


async def retire(files: SessionFiles, job: Job) -> None:
    """Remove an ended job from the index of active jobs, once the notice of its end is stored."""
    await ensure(files, job)
    await active.remove(files, job)


def undelivered(store: ObjectStore, path: str) -> tuple[SessionFiles, int]:
    """The session and the run to which the object at `path` in the index belongs.

    Raises `ValueError` for a path that `SessionFiles.undelivered_path` does not make.
    """
    _, user_hash, name = path.split("/")
    session_id, _, run = name.partition(".")
    if not layout.is_session_id(session_id):
        raise ValueError(path)
    return SessionFiles(store=store, user_hash=user_hash, session_id=session_id), int(run)
