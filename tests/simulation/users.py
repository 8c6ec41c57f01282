"""The users: they upload documents, and now and then change their minds."""

import asyncio
import json
import random
from collections.abc import Callable

import msgspec
from starlette.applications import Starlette
from starlette.types import Message

from libs.storage import layout
from tests.simulation import script
from tests.simulation.checker import Checker
from tests.simulation.process import Process
from tests.simulation.script import Document
from tests.simulation.story import Story

BOUNDARY = "simulated"
#: How a request for another user's job may end: unknown, or the storage does not answer.
REFUSED = (404, 503)
#: Two of the three addresses have the same hash (`layout.user_hash`), as an attacker can arrange.
ADDRESSES = ("u24485408@sec.example", "u34974273@sec.example", "user2@example.org")


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """An answer over HTTP; status 0 when there was none."""

    status: int
    body: bytes = b""


async def ask(app: Starlette, method: str, path: str, user: str, body: bytes = b"") -> Reply:
    """One request, straight into the application."""
    sent: list[Message] = []
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if waiting:
            return waiting.pop()
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"x-user-email", user.encode())]
    if method == "POST":
        headers.append((b"content-type", f"multipart/form-data; boundary={BOUNDARY}".encode()))
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": headers,
        "server": ("localhost", 80),
        "client": ("localhost", 1),
        "app": app,
    }
    try:
        await app(scope, receive, send)
    except Exception:  # the middleware raises again what it has answered with 500
        if not sent:
            return Reply(status=0)
    return Reply(status=sent[0]["status"], body=b"".join(m["body"] for m in sent if m["type"] == "http.response.body"))


def form(file: bytes, password: str | None = None) -> bytes:
    """The body of an upload."""
    field = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="password"\r\n\r\n{password}\r\n'
    return (
        (field.encode() if password else b"")
        + f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n'.encode()
        + file
        + f"\r\n--{BOUNDARY}--\r\n".encode()
    )


class User:
    """Uploads one document and follows it."""

    def __init__(
        self,
        email: str,
        document: Document,
        *,
        library: dict[str, Document],
        until: float,
        rng: random.Random,
        checker: Checker,
        story: Story,
        web: Callable[[], tuple[Process, Starlette] | None],
    ) -> None:
        self._email = email
        self._document = document
        self._library = library
        self._until = until
        self._rng = rng
        self._checker = checker
        self._story = story
        self._web = web
        self._session = ""

    async def live(self) -> None:
        """Upload until it is taken; then, perhaps, cancel, retry, delete."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._rng.uniform(0, max(1.0, self._until / 2)))
        for attempt in range(5):
            # An upload without an answer may have become a job, which must not pass for the next attempt's.
            document = msgspec.structs.replace(self._document, token=f"{self._document.token}.{attempt}")
            self._library[document.token] = document
            reply = await self._send("POST", "/upload", form(document.file(), document.password))
            if reply.status == 202:
                break
            await asyncio.sleep(self._rng.uniform(1, 10))
        else:
            return
        self._session = str(json.loads(reply.body)["job_id"])
        facts = self._checker.sessions[self._session]
        facts.accepted = True
        await self._trespass()
        for _ in range(self._rng.choice((0, 0, 1, 2, 5))):
            await asyncio.sleep(self._rng.expovariate(1 / 30))
            if loop.time() > self._until + 120:
                return
            await self._whim()

    async def _trespass(self) -> None:
        """A user whose address has the same hash tries to reach the job, and must not."""
        own_hash = layout.user_hash(self._email)
        for stranger in ADDRESSES:
            if stranger == self._email or layout.user_hash(stranger) != own_hash:
                continue
            for method, path in (("GET", "/status"), ("POST", "/cancel"), ("POST", "/retry"), ("DELETE", "")):
                reply = await self._send(method, f"/api/jobs/{self._session}{path}", email=stranger)
                if reply.status and reply.status not in REFUSED:
                    self._checker.fail(f"{method} of a stranger is answered {reply.status}", self._session)

    async def _whim(self) -> None:
        facts = self._checker.sessions[self._session]
        address = f"/api/jobs/{self._session}"
        choice = self._rng.choices(("cancel", "retry", "retry pages", "delete"), (2, 3, 3, 1))[0]
        if choice == "delete":
            await self._send("DELETE", address)
            return
        if choice == "cancel":
            facts.cancelled = True
            await self._send("POST", f"{address}/cancel")
            return
        body = b""
        if choice != "retry pages":
            await self._send("POST", f"{address}/retry", body)
            return
        pages = self._document.requested()
        chosen = self._rng.sample(pages, self._rng.randint(1, len(pages)))
        options = self._options()
        known = {n for n in chosen if facts.good.get(n)}
        reply = await self._send("POST", f"{address}/retry", json.dumps({"pages": chosen} | options).encode())
        if reply.status != 202:
            return
        facts.asked |= {(json.loads(reply.body)["run"], page_no): options for page_no in chosen}
        for page_no in known:
            shown = await self._send("GET", f"{address}/pages/{page_no}")
            # A record that was made anew has no pages for a while.
            if shown.status == 409 and not facts.torn:
                self._checker.fail(f"page {page_no} lost its text while it is read again", self._session)

    def _options(self) -> dict[str, str | int]:
        """What the pages have to be read with this time, if with anything else."""
        options: dict[str, str | int] = {}
        if self._rng.random() < 0.5:
            options["engine"] = self._rng.choice((script.OTHER, script.WEAK))
        if self._rng.random() < 0.4:
            options["dpi"] = self._rng.choice((script.DPI, 300, script.LARGE))
        if self._rng.random() < 0.2:
            options["ocr"] = "force"
        return options

    async def _send(self, method: str, path: str, body: bytes = b"", *, email: str = "") -> Reply:
        web = self._web()
        if web is None:
            return Reply(status=0)
        process, app = web
        task = process.start(ask(app, method, path, email or self._email, body), self._session)
        await asyncio.wait({task})
        broken = task.cancelled() or task.exception() is not None
        reply = Reply(status=0) if broken else task.result()
        self._story.tell(f"{method} {path.split('/')[-1]} -> {reply.status}", session=self._session, who="user")
        return reply
