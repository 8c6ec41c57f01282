"""What the worker sends to web to enqueue a task in local mode."""

from typing import Annotated

import msgspec

from libs.codec import Codec
from libs.taskqueue.task import BadTask, OcrTask

# Names as Cloud Tasks has them, and its farthest schedule time.
_Name = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_-]{1,500}\Z")]
_Delay = Annotated[float, msgspec.Meta(ge=0, le=30 * 86400)]


class EnqueueRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST /internal/queues/{queue}/tasks`."""

    name: _Name
    task: OcrTask
    delay_seconds: _Delay = 0.0


_codec = Codec(EnqueueRequest, BadTask)
encode, decode = _codec.encode, _codec.decode
