"""The parts of the running service, as its routes see them."""

import asyncio
from datetime import datetime
from typing import Protocol, cast

import httpx
import msgspec
from starlette.requests import Request

from libs.jobstate.intake import Intake
from libs.jobstate.job import Job
from libs.jobstate.upload import PendingUpload
from libs.storage.session import SessionFiles
from libs.storage.store import DirectStore, FiniteStore, ObjectStore
from libs.taskqueue.queue import WatchedQueue
from libs.taskqueue.task import OcrTask
from services.serving.queue_identity import QueueIdentity
from services.web.auth.identity import Identity
from services.web.config import WebConfig
from services.web.fetching import Fetching
from services.web.idempotency import IdempotencyKeys
from services.web.live.feed import Feeds
from services.web.metrics import Survey
from services.web.quota import Rates, Usage
from services.web.receiving import HeldBodies, Receiving
from services.web.webhooks.delivery import Webhooks

# Page images that are made smaller at the same time. Chosen: as many as the smallest machine has cores; one of the most
# pixels that are allowed (40 MP in colour) takes 360 MB meanwhile.
_THUMBNAILS_AT_ONCE = 2


class Extraction(Protocol):
    """Renders the pages of documents; `extract.extractor.Extractor` is one."""

    async def process(self, task: OcrTask, name: str) -> bool:
        """Work on an extraction task; whether there was anything to do. Raises `StorageError`, `QueueUnavailable`."""
        ...

    def drain(self) -> None:
        """The process is about to end: give leases back and enqueue successors."""
        ...


class JobCreation(Protocol):
    """Makes jobs of uploads; `upload.completion.Completion` is one."""

    async def create_job(self, files: SessionFiles, intake: Intake) -> Job:
        """Write intake and record for a stored file. Raises `StorageError`; the job may then exist all the same."""
        ...

    async def start(self, files: SessionFiles, job: Job) -> None:
        """Enqueue the job's extraction; the sweep does it where storage or queue do not answer."""
        ...

    async def finish(self, files: SessionFiles, upload: PendingUpload) -> Job:
        """Make and start the job of an upload that has all its bytes.

        Raises `Problem` 415 or 422 once the upload is deleted, and `StorageError`: what has arrived then stays.
        """
        ...

    async def close(self, files: SessionFiles, upload: PendingUpload) -> None:
        """Make the bucket refuse more bytes of a direct upload. Raises `StorageError`."""
        ...

    async def is_abandoned(self, files: SessionFiles, announced_at: datetime, now: datetime) -> bool:
        """Whether to delete a session without a job. Finishes one that has all its bytes since a crash."""
        ...


class Sweep(Protocol):
    """Wakes jobs that nothing works on; `sweeper.Sweeper` is one."""

    #: The active jobs as the last sweep saw them; `None` before the first.
    survey: Survey | None

    async def run(self) -> None:
        """Sweep at intervals until cancelled."""
        ...

    async def sweep(self) -> int:
        """Look at every active job once; how many were woken. Raises `StorageError`, `QueueUnavailable`."""
        ...

    async def nudge(self, files: SessionFiles, job: Job) -> None:
        """Look at this job now, if its record has not changed for long."""
        ...


class Web(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of the running service."""

    config: WebConfig
    store: ObjectStore
    queue: WatchedQueue
    #: Identifies users.
    identity: Identity
    #: Identifies the queue.
    queue_identity: QueueIdentity
    #: Calls the worker.
    client: httpx.AsyncClient
    extractor: Extraction
    completion: JobCreation
    sweeper: Sweep
    #: The store, where clients can upload to it directly.
    direct: DirectStore | None = None
    keys: IdempotencyKeys
    #: The jobs that clients watch.
    feeds: Feeds
    #: Fetches documents that users name by their address.
    fetching: Fetching
    #: Tells the ends of jobs.
    webhooks: Webhooks
    usage: Usage
    rates: Rates
    #: The store, where it can be full.
    finite: FiniteStore | None = None
    #: The uploads of which this process receives bytes.
    receiving: Receiving = msgspec.field(default_factory=Receiving)
    #: One is held for each page image that is made smaller.
    thumbnail_slots: asyncio.Semaphore = msgspec.field(default_factory=lambda: asyncio.Semaphore(_THUMBNAILS_AT_ONCE))
    held_bodies: HeldBodies = msgspec.field(default_factory=HeldBodies)


def web(request: Request) -> Web:
    """The parts behind this request."""
    return cast(Web, request.app.state.web)
