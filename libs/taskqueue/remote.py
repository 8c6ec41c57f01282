"""The local queue, which is in the web process, as the worker reaches it: over HTTP."""

import random
from collections.abc import Callable, Mapping
from typing import Annotated

import httpx
import msgspec

from libs.codec import Codec
from libs.retry import RetryableFault
from libs.taskqueue.clock import Clock, SystemClock
from libs.taskqueue.queue import QueueUnavailable, persist
from libs.taskqueue.task import BadTask, OcrTask

# Chosen: a process of the same machine that takes longer to answer is restarting.
_REQUEST_SECONDS = 5.0
# As Cloud Tasks allows names and schedule times
# (https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues.tasks).
_Name = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_-]{1,500}\Z")]
_Delay = Annotated[float, msgspec.Meta(ge=0, le=30 * 86400)]


class EnqueueRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST /internal/queues/{queue}/tasks`."""

    name: _Name
    task: OcrTask
    delay_seconds: _Delay = 0.0


_codec = Codec(EnqueueRequest, BadTask)
encode, decode = _codec.encode, _codec.decode


class RemoteQueue:
    """A `TaskQueue` over HTTP. A call may be repeated, since the queue takes each name once."""

    def __init__(
        self,
        base_url: str,
        headers: Callable[[], Mapping[str, str]],
        client: httpx.AsyncClient,
        *,
        clock: Clock | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """What `headers` returns, with the internal token, is sent with every call; `jitter`: see `persist`."""
        self._base_url = base_url.rstrip("/")
        self._headers = headers
        self._client = client
        self._clock = clock or SystemClock()
        self._jitter = jitter

    async def enqueue(self, queue: str, task: OcrTask, *, name: str, delay_seconds: float = 0.0) -> None:
        """See `TaskQueue`. Retries for some 10 s, then raises `QueueUnavailable`."""
        body = encode(EnqueueRequest(name=name, task=task, delay_seconds=delay_seconds))
        try:
            await persist(lambda: self._try(queue, body), clock=self._clock, jitter=self._jitter)
        except RetryableFault as fault:
            raise QueueUnavailable(
                f"{self._base_url} did not take the task: {fault}. Is the web service running?"
            ) from fault

    async def _try(self, queue: str, body: bytes) -> None:
        """One attempt. Raises `RetryableFault`, and `QueueUnavailable` for a refusal that would be repeated."""
        try:
            response = await self._client.post(
                f"{self._base_url}/internal/queues/{queue}/tasks",
                content=body,
                headers={"Content-Type": "application/json", **self._headers()},
                timeout=_REQUEST_SECONDS,
            )
        except httpx.TransportError as error:
            raise RetryableFault(f"{type(error).__name__}: {error}") from error
        if response.is_success:
            return
        if response.status_code == 429 or response.status_code >= 500:
            raise RetryableFault(f"answer {response.status_code}")
        raise QueueUnavailable(
            f"{self._base_url} refused the task with {response.status_code}: check that web and worker share "
            "INTERNAL_TOKEN and come from the same version"
        )
