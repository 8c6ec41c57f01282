"""The tasks that set a job going: its extraction, and the chains that read its pages."""

from datetime import datetime

from libs import trace
from libs.jobstate import plan as batches
from libs.jobstate.job import Job
from libs.taskqueue.queue import EXTRACT_QUEUE, OCR_QUEUE, TaskQueue
from libs.taskqueue.task import OcrTask, first_name


async def start_chains(queue: TaskQueue, job: Job, *, wake: int = 0, at: datetime | None = None) -> None:
    """Enqueue the first task of each of the job's OCR chains; `wake` tells repeated starts of a run apart.

    `at`: now, where that is not when the record was last written.
    """
    for chain in range(batches.chains(job)):
        task = OcrTask(
            session_id=job.session_id,
            user_email=job.user_email,
            user_hash=job.user_hash,
            chain=chain,
            run=job.run,
            trace=trace.current(),
            wake=wake,
            due_at=at or job.updated_at,
        )
        await queue.enqueue(OCR_QUEUE, task, name=first_name(job.session_id, job.run, f"ocr-{chain}", wake))


async def start_extraction(queue: TaskQueue, job: Job, *, wake: int = 0, at: datetime | None = None) -> None:
    """Enqueue the extraction of the job; see `start_chains`."""
    task = OcrTask(
        session_id=job.session_id,
        user_email=job.user_email,
        user_hash=job.user_hash,
        run=job.run,
        trace=trace.current(),
        wake=wake,
        due_at=at or job.updated_at,
    )
    await queue.enqueue(EXTRACT_QUEUE, task, name=first_name(job.session_id, job.run, "extract", wake))
