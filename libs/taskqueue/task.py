"""The payload of a task: which job to work on, and which thread of that work this is."""

import hashlib
from datetime import datetime
from typing import Annotated

import msgspec

from libs.codec import BadMessage, Codec

# Wider numbers would decode, and then fail to encode.
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
_Trace = Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{32})?$")]


class OcrTask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One wake-up for one job.

    Only `session_id` and `user_email` are needed (R31): a bare task works on whatever the job has pending.
    `user_hash` is set when the sender no longer knows the address. `chain` numbers the parallel threads of a job's
    OCR and picks the batches a call tries first; `run` is the job's retry counter, so that a task of an abandoned run
    does nothing; `wake` is the waking by the sweep that it goes back to; `idle` counts the calls in a row that found no
    free batch. `trace` is the id of the request from which all this follows; `due_at` is when the task is due, by the
    storage's clock: a later job's task is behind it in the queue.
    """

    session_id: str
    user_email: str = ""
    user_hash: str = ""
    chain: _Count = 0
    run: _Count = 1
    wake: _Count = 0
    idle: _Count = 0
    trace: _Trace = ""
    due_at: datetime | None = None


class BadTask(BadMessage):
    """The body is not a task; the message says where it is wrong."""


_codec = Codec(OcrTask, BadTask)
encode, decode = _codec.encode, _codec.decode


def first_name(session_id: str, run: int, kind: str, wake: int = 0) -> str:
    """Name of the task that starts a thread of work: the same for a doubled start, so the queue drops the double.

    Hashed, because Cloud Tasks is slow on names with a common prefix.
    """
    return _hashed(f"{session_id}/{run}/{kind}/{wake}")


def next_name(name: str) -> str:
    """Name of the successor of the task called `name`: a task delivered twice enqueues one successor."""
    return _hashed(f"{name}/next")


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:40]
