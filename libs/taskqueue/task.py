"""The payload of a task: which job to work on, and which of its chains of tasks this one belongs to."""

import hashlib
from datetime import datetime
from typing import Annotated

import msgspec

from libs.codec import BadMessage, Codec

# Wider numbers would decode, and then fail to encode.
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
_Trace = Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{32})?$")]


class OcrTask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request to work on one job.

    Only `session_id` and `user_email` are needed (R31): such a task works on whatever the job has pending.
    """

    session_id: str
    user_email: str = ""
    #: Used in place of `user_email`, if it is set.
    user_hash: str = ""
    #: The number of the OCR chain: it decides which batches a call tries first.
    chain: _Count = 0
    #: The job's run: a task of an earlier run does nothing.
    run: _Count = 1
    #: The number of the sweep's waking that the task's chain began with; 0 for none.
    wake: _Count = 0
    #: How many calls of the chain in a row found no free batch.
    idle: _Count = 0
    #: The trace id of the request that the task follows from.
    trace: _Trace = ""
    #: Make the searchable PDF of the job, which has ended.
    searchable: bool = False
    #: Of webhooks: how many rounds of delivery came before.
    round: _Count = 0
    #: When the task is due, by the storage's clock: the task of a later job is behind it in the queue.
    due_at: datetime | None = None


class BadTask(BadMessage):
    """The body is not a task; the message has the place and the fault."""


_codec = Codec(OcrTask, BadTask)
encode, decode = _codec.encode, _codec.decode


def first_name(session_id: str, run: int, kind: str, wake: int = 0) -> str:
    """The name of the first task of a chain, or of the extraction: a repeated start has the same name and is dropped.

    `kind` is "extract" or names the chain. Hashed, because Cloud Tasks is slow for names with a common prefix
    (https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues.tasks/create).
    """
    return _hashed(f"{session_id}/{run}/{kind}/{wake}")


def webhook_task(*, session_id: str, user_hash: str, run: int, round: int = 0, wake: int = 0) -> tuple[OcrTask, str]:
    """The task that tells the end of a run for the `round`-th time, from 0, and its name. `wake`: see `OcrTask`."""
    task = OcrTask(session_id=session_id, user_hash=user_hash, run=run, round=round, wake=wake)
    return task, first_name(session_id, run, f"webhook-{round}", wake)


def next_name(name: str) -> str:
    """The name of the successor of the task called `name`: a task that is delivered twice enqueues one successor."""
    return _hashed(f"{name}/next")


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:40]
