"""The tasks that start work on a job: extraction, the chains that read its pages, its searchable PDF, its webhooks."""

from contextlib import suppress
from datetime import datetime

import msgspec

from libs import trace
from libs.jobstate import plan as batches
from libs.jobstate.job import Job
from libs.taskqueue.queue import EXTRACT_QUEUE, OCR_QUEUE, WEBHOOK_QUEUE, QueueUnavailable, TaskQueue
from libs.taskqueue.task import OcrTask, first_name, webhook_task

#: Seconds after which a searchable PDF that could not be made is tried again when it is asked for. Chosen: what it
#: failed by may have been the machine's load; a document that fails always costs a child's time once a minute.
SEARCHABLE_AGAIN_SECONDS = 60


async def start_stage(queue: TaskQueue, job: Job, *, wake: int = 0, at: datetime | None = None) -> None:
    """Enqueue what the job needs next: its extraction, or once that is complete its OCR chains.

    `wake` is the number of the waking, for the repeated starts of a run: a name used before would be dropped. `at` is
    the present time, where that is not when the record was last written. Raises `QueueUnavailable`.
    """
    start = start_chains if job.extraction_complete else start_extraction
    await start(queue, job, wake=wake, at=at)


async def start_chains(queue: TaskQueue, job: Job, *, wake: int = 0, at: datetime | None = None) -> None:
    """Enqueue the first task of each of the job's OCR chains; see `start_stage`."""
    for chain in range(batches.chains(job)):
        name = first_name(job.session_id, job.run, f"ocr-{chain}", wake)
        await queue.enqueue(OCR_QUEUE, _task(job, chain, wake, at), name=name)


async def start_extraction(queue: TaskQueue, job: Job, *, wake: int = 0, at: datetime | None = None) -> None:
    """Enqueue the extraction of the job; see `start_stage`."""
    name = first_name(job.session_id, job.run, "extract", wake)
    await queue.enqueue(EXTRACT_QUEUE, _task(job, 0, wake, at), name=name)


async def start_searchable(queue: TaskQueue, job: Job, at: datetime) -> None:
    """Enqueue the making of the searchable PDF of a job that has ended, at most once in `SEARCHABLE_AGAIN_SECONDS`.

    Raises `QueueUnavailable`.
    """
    turn = int(at.timestamp() // SEARCHABLE_AGAIN_SECONDS)
    task = msgspec.structs.replace(_task(job, 0, 0, at), searchable=True)
    await queue.enqueue(EXTRACT_QUEUE, task, name=first_name(job.session_id, job.run, "searchable", turn))


async def start_webhooks(queue: TaskQueue, job: Job) -> None:
    """Enqueue the telling of the job's end, if it has ended and is to be told; where that fails, the sweep does it."""
    if job.ended and job.notify:
        task, name = webhook_task(session_id=job.session_id, user_hash=job.user_hash, run=job.run)
        with suppress(QueueUnavailable):
            await queue.enqueue(WEBHOOK_QUEUE, task, name=name)


def _task(job: Job, chain: int, wake: int, at: datetime | None) -> OcrTask:
    return OcrTask(
        session_id=job.session_id,
        user_email=job.user_email,
        user_hash=job.user_hash,
        chain=chain,
        run=job.run,
        trace=trace.current(),
        wake=wake,
        due_at=at or job.updated_at,
    )
