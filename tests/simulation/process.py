"""Processes of the simulated machines: what lives in one dies with it, at any await."""

import asyncio
import contextlib
import contextvars
from collections.abc import Coroutine, Iterator
from typing import Any

from tests.simulation.script import Key


class Died(BaseException):
    """The process is dead: nothing that is left of it reaches the store or the queue any more."""


class Process:
    """A web or a worker process. Every task that its code starts belongs to it and is cancelled with it.

    `skew` is how many seconds its wall clock is ahead of the store's.
    """

    def __init__(self, name: str, kind: str, skew: float) -> None:
        self.name = name
        self.kind = kind
        self.skew = skew
        self.holder = ""  # as it signs its leases
        self.alive = True
        self.ended = asyncio.Event()
        self.draining = False
        self.frozen_until = 0.0
        self.was_frozen = False
        self.loaded = False
        self.killed_by: Key | None = None  # a page of its own
        self.hangs = False  # a page of it does, which it will find out
        self.tasks: dict[asyncio.Task[Any], None] = {}

    @property
    def takes_work(self) -> bool:
        return self.alive and self.loaded and not self.draining

    def start(self, work: Coroutine[Any, Any, Any], session: str = "") -> "asyncio.Task[Any]":
        """Run `work` in this process, on behalf of the job `session`."""
        context = contextvars.copy_context()
        context.run(current.set, self)
        context.run(acting_for.set, session)
        return asyncio.get_running_loop().create_task(work, context=context)

    def kill(self) -> None:
        """As by SIGKILL. Blocks on the way out run, but whatever they ask of the world raises `Died`."""
        self.alive = False
        self.ended.set()
        for task in list(self.tasks):
            task.cancel()

    def check(self) -> None:
        """Raise `Died` in what is left of a dead process."""
        if not self.alive:
            raise Died(self.name)

    async def thaw(self) -> None:
        """Wait while the machine is suspended; its code notices only that time has passed."""
        self.check()
        loop = asyncio.get_running_loop()
        while loop.time() < self.frozen_until:  # noqa: ASYNC110 - it may be frozen again meanwhile
            await asyncio.sleep(self.frozen_until - loop.time())
        self.check()


current: contextvars.ContextVar[Process | None] = contextvars.ContextVar("current", default=None)
acting_for: contextvars.ContextVar[str] = contextvars.ContextVar("acting_for", default="")


@contextlib.contextmanager
def acting(session: str) -> Iterator[None]:
    """The block works for the job `session`, whatever its task was started for."""
    before = acting_for.set(session)
    try:
        yield
    finally:
        acting_for.reset(before)


def adopt(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, Any],
    context: contextvars.Context | None = None,
) -> "asyncio.Task[Any]":
    """The loop's task factory: a task belongs to the process in whose context it starts."""
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, context=context)
    process = context.get(current) if context is not None else current.get()
    if process is not None:
        process.tasks[task] = None
        task.add_done_callback(lambda done: process.tasks.pop(done, None))
        if not process.alive:
            task.cancel()
    return task
