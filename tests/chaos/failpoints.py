"""Places at which a process kills or stops itself: before and after each write, deletion, enqueueing and answer."""

import os
import signal
from collections.abc import AsyncIterator
from fnmatch import fnmatchcase
from typing import Any

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.storage.errors import OutOfSpace, Unavailable
from libs.storage.store import ObjectStore
from libs.taskqueue.queue import TaskQueue
from libs.taskqueue.task import OcrTask
from tests.chaos.around import AroundStore
from tests.chaos.journal import Journal, What

_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


class Failpoint(msgspec.Struct, frozen=True, kw_only=True):
    """`write:after:*/intake.json=kill#3` kills at the third pass through `place`, which is all before the `=`."""

    call: str
    moment: str
    pattern: str
    act: str
    passes: int

    @property
    def place(self) -> str:
        return f"{self.call}:{self.moment}:{self.pattern}"


def parse(text: str) -> list[Failpoint]:
    """Read failpoints separated by commas. Raises `ValueError`."""
    found = []
    for item in filter(None, text.split(",")):
        place, _, order = item.partition("=")
        call, moment, pattern = place.split(":", 2)
        act, _, passes = order.partition("#")
        if call not in ("write", "delete", "enqueue", "answer") or moment not in ("before", "after"):
            raise ValueError(f"{item!r}: a place is write|delete|enqueue|answer:before|after:PATTERN")
        if act not in _SIGNALS:
            raise ValueError(f"{item!r}: the act is kill or stop")
        found.append(Failpoint(call=call, moment=moment, pattern=pattern, act=act, passes=int(passes or 1)))
    return found


class Failpoints:
    """The armed failpoints of one process."""

    def __init__(self, armed: list[Failpoint], journal: Journal) -> None:
        self._armed = armed
        self._journal = journal
        self._passed = dict.fromkeys(armed, 0)

    def hit(self, call: str, moment: str, name: str) -> None:
        """The process passes here. It may be its end."""
        for point in self._armed:
            if (point.call, point.moment) != (call, moment) or not fnmatchcase(name, point.pattern):
                continue
            self._passed[point] += 1
            if self._passed[point] == point.passes:
                self._journal.note(What.HIT, place=point.place, name=point.act)
                os.kill(os.getpid(), _SIGNALS[point.act])


class FailingStore(AroundStore):
    """A store with failpoints at what it changes. Notes down what the storage itself fails."""

    def __init__(self, inner: ObjectStore, points: Failpoints, journal: Journal) -> None:
        super().__init__(inner)
        self._points = points
        self._journal = journal

    async def write(self, path: str, data: bytes | AsyncIterator[bytes], *, if_generation: int | None = None) -> int:
        self._points.hit("write", "before", path)
        try:
            generation = await self.inner.write(path, data, if_generation=if_generation)
        except (OutOfSpace, Unavailable) as error:
            self._journal.note(What.FAULT, path=path, name=type(error).__name__)
            raise
        self._points.hit("write", "after", path)
        return generation

    async def delete(self, path: str, *, if_generation: int | None = None) -> None:
        self._points.hit("delete", "before", path)
        try:
            await self.inner.delete(path, if_generation=if_generation)
        except Unavailable as error:
            self._journal.note(What.FAULT, path=path, name=type(error).__name__)
            raise
        self._points.hit("delete", "after", path)


class FailingQueue:
    """A queue with failpoints at what it takes; whatever else it can do is passed on."""

    def __init__(self, inner: TaskQueue, points: Failpoints) -> None:
        self._inner = inner
        self._points = points

    async def enqueue(self, queue: str, task: OcrTask, *, name: str, delay_seconds: float = 0.0) -> None:
        self._points.hit("enqueue", "before", queue)
        await self._inner.enqueue(queue, task, name=name, delay_seconds=delay_seconds)
        self._points.hit("enqueue", "after", queue)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class FailingAnswers:
    """An application with failpoints at its answers; their name is method and path: `POST /upload`."""

    def __init__(self, inner: ASGIApp, points: Failpoints) -> None:
        self._inner = inner
        self._points = points

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        name = f"{scope['method']} {scope['path']}"

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._points.hit("answer", "before", name)
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                self._points.hit("answer", "after", name)

        await self._inner(scope, receive, answer)
