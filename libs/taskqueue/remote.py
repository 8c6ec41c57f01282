"""The worker's way to the local queue, which lives in the web process."""

import asyncio
import random
from collections.abc import Callable

import httpx

from libs.taskqueue import enqueue as wire
from libs.taskqueue.clock import Clock, SystemClock
from libs.taskqueue.queue import QueueUnavailable
from libs.taskqueue.task import OcrTask

# Long enough for a restart of web; the sweep is there for what takes longer.
_PATIENCE_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 2.0
_REQUEST_SECONDS = 5.0


class RemoteQueue:
    """A `TaskQueue` over HTTP. Repeating a call is safe, since a name is taken once."""

    def __init__(
        self,
        base_url: str,
        token: str,
        client: httpx.AsyncClient,
        *,
        clock: Clock | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`jitter` gives numbers from 0 to 1: how much of the second half of each pause is waited."""
        self._base_url = base_url.rstrip("/")
        self._token = token
        self._client = client
        self._clock = clock or SystemClock()
        self._jitter = jitter

    async def enqueue(self, queue: str, task: OcrTask, *, name: str, delay_seconds: float = 0.0) -> None:
        """See `TaskQueue`. Tries for some 10 s, then raises `QueueUnavailable`."""
        body = wire.encode(wire.EnqueueRequest(name=name, task=task, delay_seconds=delay_seconds))
        give_up = self._clock.now() + _PATIENCE_SECONDS
        pause = _FIRST_PAUSE_SECONDS
        while True:
            fault = await self._try(queue, body)
            if not fault:
                return
            again = self._clock.now() + pause * (1 + self._jitter()) / 2
            if again > give_up:
                raise QueueUnavailable(f"{self._base_url} did not take the task: {fault}. Is the web service running?")
            # Many workers meet a web that restarts: the jitter keeps them from returning all at once.
            await self._clock.wait(asyncio.Event(), again)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def _try(self, queue: str, body: bytes) -> str:
        """The fault that may be over soon, or nothing. A refusal that will stay raises at once."""
        try:
            response = await self._client.post(
                f"{self._base_url}/internal/queues/{queue}/tasks",
                content=body,
                headers={"Content-Type": "application/json", "X-Internal-Token": self._token},
                timeout=_REQUEST_SECONDS,
            )
        except httpx.TransportError as error:
            return f"{type(error).__name__}: {error}"
        if response.is_success:
            return ""
        if response.status_code == 429 or response.status_code >= 500:
            return f"answer {response.status_code}"
        raise QueueUnavailable(
            f"{self._base_url} refused the task with {response.status_code}: check that web and worker share "
            "INTERNAL_TOKEN and come from the same version"
        )
