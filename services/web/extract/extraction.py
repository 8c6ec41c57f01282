"""One call for one document: the context that the steps of an extraction take as a single value."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

import msgspec

from libs.jobstate.lease import new_holder
from libs.jobstate.neighbours import Seat
from libs.jobstate.timeslice import TimeSlice
from libs.storage.session import SessionFiles
from libs.storage.store import ObjectStore
from libs.taskqueue.queue import TaskQueue
from libs.taskqueue.task import OcrTask
from services.web.metrics import WebMetrics
from services.web.render.document import FailedPage, RenderedPage, RenderLimits, open_document
from services.web.render.filetype import FileType

#: Seconds that a call renders before it makes room for a newcomer. Chosen: each call fetches and opens the document
#: again, so a shorter slice would spend most of its time on that.
MIN_SLICE_SECONDS = 2.0


class OpenPages(Protocol):
    """An open document as extraction needs it; `render.document.Document` is one."""

    @property
    def total_pages(self) -> int:
        """Pages in the document."""
        ...

    @property
    def repaired(self) -> bool:
        """Whether the document is damaged: pages or parts of pages may be missing."""
        ...

    def render(self, pages: Sequence[int]) -> AsyncIterator[RenderedPage | FailedPage]:
        """Yield one item for each of these 1-based pages, in order, each as soon as it exists."""
        ...


class Opener(Protocol):
    """How a document is opened; `render.document.open_document` is the one of the service."""

    def __call__(
        self,
        path: Path,
        file_type: FileType,
        *,
        dpi: int,
        limits: RenderLimits,
        slots: asyncio.Semaphore,
        password: str | None,
    ) -> AbstractAsyncContextManager[OpenPages]: ...


class ExtractSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the configuration decides about extraction."""

    #: Of one document.
    limits: RenderLimits
    #: Pages of a batch at most.
    batch_size: int
    #: Chains of OCR tasks of one job at most.
    parallelism: int
    #: A call that has rendered for so many seconds leaves the rest to its successor.
    slice_seconds: float
    #: The lease of an extraction expires so many seconds after its last renewal.
    lease_seconds: float
    #: Documents that may be open beside `ExtractContext.render_slots`, for users who have none open.
    extra_children: int = 0
    #: Seconds between two looks at the index of active jobs, while a document is open.
    look_seconds: float = 1.0


class ExtractContext(msgspec.Struct, frozen=True, kw_only=True):
    """What lives as long as the service's process; all of its extractions share it."""

    store: ObjectStore
    #: Takes the successors of extraction tasks and the first tasks of OCR.
    queue: TaskQueue
    settings: ExtractSettings
    metrics: WebMetrics
    #: One is held for each open document, which has a process of its own.
    render_slots: asyncio.Semaphore
    open_document: Opener = open_document
    #: Set when the process is about to end: no further page is rendered.
    draining: asyncio.Event = msgspec.field(default_factory=asyncio.Event)
    #: Identifies this process in leases.
    holder: str = msgspec.field(default_factory=new_holder)


class Extraction(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of work on one document: a call, which handles one delivered task, or what it does for a guest."""

    context: ExtractContext
    task: OcrTask
    #: The task's name in the queue; that of its successor is derived from it. Empty for a guest, which has none: the
    #: job's own tasks are in the queue.
    task_name: str
    #: Of the task's job.
    files: SessionFiles
    time_slice: TimeSlice
    seat: Seat
    #: Held while the document is open.
    slots: asyncio.Semaphore

    async def must_yield(self) -> bool:
        """Whether the rest of the document is left to a later call: the process drains, the slice has lasted long
        enough, it is another user's turn, or another job of this user has requested a slice meanwhile."""
        if self.context.draining.is_set():
            return True
        seconds = self.time_slice.seconds
        if seconds > self.context.settings.slice_seconds:
            return True
        return seconds > MIN_SLICE_SECONDS and (self.seat.must_yield or await self.time_slice.has_newcomer())
