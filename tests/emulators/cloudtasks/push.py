"""One attempt at a task: the HTTP request as Cloud Tasks sends it."""

import asyncio

import httpx
from google.cloud import tasks_v2

from libs.retry import retry_after_seconds
from libs.taskqueue.clock import Clock
from tests.emulators.cloudtasks.entry import Answer, Entry
from tests.emulators.cloudtasks.issuer import Issuer

_SERVICE_HEADERS = ("x-cloudtasks-", "x-google-", "x-appengine-")
_COMPUTED_HEADERS = frozenset({"host", "content-length", "user-agent"})


class Pusher:
    """Sends attempts over HTTP."""

    def __init__(self, clock: Clock, issuer: Issuer, *, strips_signatures: bool) -> None:
        """`strips_signatures`: send tokens as they leave Cloud Run's own check in front of a private service."""
        self._strips_signatures = strips_signatures
        self._clock = clock
        self._issuer = issuer
        self._requests: set[asyncio.Task[httpx.Response]] = set()
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(None, connect=10.0),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            trust_env=False,
        )

    async def close(self) -> None:
        """Drop what is under way."""
        for request in self._requests:
            request.cancel()
        await asyncio.gather(*self._requests, return_exceptions=True)
        await self._client.aclose()

    async def push(self, queue: str, entry: Entry) -> Answer:
        """Send the task, and listen until its dispatch deadline; the target may go on for longer."""
        answered = asyncio.Event()
        http = entry.task.http_request
        request = asyncio.create_task(
            self._client.request(
                http.http_method.name, http.url, content=http.body, headers=self._headers(queue, entry)
            ),
            name=f"push {entry.id}",
        )
        self._requests.add(request)
        request.add_done_callback(self._forget)
        request.add_done_callback(lambda _: answered.set())
        deadline = entry.task.dispatch_deadline.total_seconds()
        await self._clock.wait(answered, self._clock.now() + deadline)
        if not request.done():
            return Answer(status=None, reason="no answer before the dispatch deadline")
        try:
            response = request.result()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Answer(status=None, reason=f"no answer: {type(error).__name__}")
        return Answer(
            status=response.status_code,
            reason=f"answer {response.status_code}",
            retry_after=retry_after_seconds(response.headers.get("Retry-After", ""), self._clock.epoch()),
        )

    def _headers(self, queue: str, entry: Entry) -> dict[str, str]:
        http = entry.task.http_request
        headers = {name: value for name, value in http.headers.items() if not _is_ours(name)}
        headers |= {
            "User-Agent": "Google-Cloud-Tasks",
            "X-CloudTasks-QueueName": queue,
            "X-CloudTasks-TaskName": entry.id,
            "X-CloudTasks-TaskRetryCount": str(entry.retries),
            "X-CloudTasks-TaskExecutionCount": str(entry.executions),
            "X-CloudTasks-TaskETA": f"{self._clock.epoch() - self._clock.now() + entry.due:.6f}",
        }
        if entry.previous is not None:
            headers["X-CloudTasks-TaskPreviousResponse"] = str(entry.previous)
        if entry.reason:
            headers["X-CloudTasks-TaskRetryReason"] = entry.reason
        if tasks_v2.HttpRequest.pb(http).HasField("oidc_token"):
            token = self._issuer.token(
                email=http.oidc_token.service_account_email,
                audience=http.oidc_token.audience or http.url,
                now=self._clock.epoch(),
            )
            if self._strips_signatures:
                token = f"{token.rpartition('.')[0]}.SIGNATURE_REMOVED_BY_GOOGLE"
            headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
            headers["Authorization"] = f"Bearer {token}"
        return headers

    def _forget(self, request: "asyncio.Task[httpx.Response]") -> None:
        self._requests.discard(request)
        if not request.cancelled():
            request.exception()  # seen, even where nobody listens any more


def _is_ours(name: str) -> bool:
    return name.lower() in _COMPUTED_HEADERS or name.lower().startswith(_SERVICE_HEADERS)
