"""One call of the worker: what it works with, what it returns, and what it raises.

The queue delivers a task by one HTTP request; a call is the handling of that request.
"""

import asyncio
from enum import StrEnum

import msgspec

from libs.jobstate.lease import new_holder
from libs.jobstate.neighbours import Seat
from libs.jobstate.recorder import Recorder
from libs.jobstate.timeslice import TimeSlice
from libs.storage.session import SessionFiles
from libs.storage.store import ObjectStore
from libs.taskqueue.queue import TaskQueue
from libs.taskqueue.task import OcrTask
from services.worker.engines.engine import Fallback
from services.worker.engines.occupancy import SharedEngine
from services.worker.engines.registry import EngineRegistry
from services.worker.metrics import WorkerMetrics
from services.worker.quarantine import Quarantine


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Time limits, in seconds; `.env.example` describes the settings of the same names."""

    #: A lease expires this long after its last write.
    lease_seconds: float
    #: An engine in which no page makes progress for this long is taken to hang.
    page_seconds: float
    #: A call that has run for this long claims no further batch.
    batch_seconds: float
    #: How often a call looks whether other users wait.
    look_seconds: float = 1.0


class WorkerContext(msgspec.Struct, frozen=True, kw_only=True):
    """What lives as long as the worker's process; all of its calls share it."""

    store: ObjectStore
    #: Takes the tasks' successors.
    queue: TaskQueue
    engines: EngineRegistry
    #: Reads pages that break the engine down; `None`: they fail.
    fallback: Fallback | None
    limits: Limits
    metrics: WorkerMetrics
    quarantine: Quarantine = msgspec.field(default_factory=Quarantine)
    #: Set when the process is about to end: no further page is begun, and leases are released.
    draining: asyncio.Event = msgspec.field(default_factory=asyncio.Event)
    #: Identifies this process in leases.
    holder: str = msgspec.field(default_factory=new_holder)


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of work for one job: a call, or what it does for a guest."""

    worker: WorkerContext
    task: OcrTask
    #: Of the task's job.
    files: SessionFiles
    recorder: Recorder
    #: The one of the job's first page that is still to be read: mostly that of all of them.
    engine: SharedEngine
    #: Its name as it was asked for; `None` is the worker's default.
    engine_name: str | None = None
    time_slice: TimeSlice
    seat: Seat

    @property
    def is_over(self) -> bool:
        """Whether no further page is to be begun: the job was cancelled, deleted or has ended, or the worker drains."""
        return self.recorder.stopped or self.worker.draining.is_set()

    async def must_yield(self) -> bool:
        """Whether no further page is to be begun: as `is_over`, or for another user, whose turn it is, or for another
        job of this user, whose task came after the call's."""
        if self.is_over:
            return True
        # A call fills the engine at least once before it yields, so it gets at least one page done.
        if self.time_slice.pages < self.engine.slots:
            return False
        if self.seat.must_yield:
            return True
        # It is enough that one chain of a job makes room; where tasks have to wait for a worker, all do.
        return (self.task.chain == 0 or self.time_slice.crowded) and await self.time_slice.has_newcomer()


class CallStatus(StrEnum):
    """The outcome of a call (R33). All are final: the queue does not deliver the task again."""

    #: A batch was claimed.
    BATCH_PROCESSED = "batch_processed"
    #: No batch was free, or the job or its run has ended.
    NO_PENDING_PAGES = "no_pending_pages"
    #: There is no such job, or it was deleted.
    UNKNOWN_SESSION = "unknown_session"


class CallResult(msgspec.Struct, frozen=True, kw_only=True):
    """The response to the queue."""

    status: CallStatus
    #: How many pages this call gave an outcome.
    pages_processed: int = 0


class EngineBroke(Exception):
    """The engine failed as a whole: the queue has to deliver the task again."""


class EngineHangs(Exception):
    """No page made progress for too long, or none ever will. A thread cannot be stopped, so the process has to end."""
