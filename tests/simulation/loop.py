"""An event loop whose time is its own: it jumps to the next timer instead of waiting for it."""

import asyncio
import contextvars
import gc
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import structlog

from libs.storage import layout
from tests.simulation.process import Died, adopt


class Standstill(RuntimeError):
    """Nothing is due and nothing ever will be: every task waits for another."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Single-threaded and without files or sockets, so that one seed gives one order of events."""

    def __init__(self) -> None:
        super().__init__()
        self._virtual = 0.0
        self._clock_resolution = 1e-6
        self._selector = self  # `BaseEventLoop._run_once` asks it how long to sleep
        self.set_task_factory(adopt)  # type: ignore[arg-type]  # its context is never a positional one
        self.set_exception_handler(lambda loop, context: None)

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._virtual

    def select(self, timeout: float | None) -> list[object]:
        """Sleep, by letting the time pass at once."""
        if timeout is None:
            raise Standstill
        self._virtual += timeout
        return []

    def _process_events(self, events: object) -> None:
        """There are none: nothing here has a file descriptor."""

    def _write_to_self(self) -> None:
        """Nobody else could wake this loop."""

    def call_soon_threadsafe(  # type: ignore[override]  # there are no other threads
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(  # type: ignore[override]  # nor executors
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> "asyncio.Future[Any]":
        """Run it here and now: a thread would finish whenever it likes."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future


def end(loop: VirtualLoop) -> None:
    """Let nothing of this seed reach the next."""
    try:
        for _ in range(100):
            tasks = asyncio.all_tasks(loop)
            if not tasks:
                break
            for task in tasks:  # in each round, since the queue may push again what was cancelled
                task.cancel()
            loop.run_until_complete(asyncio.wait(tasks, timeout=1))
    except (Standstill, Died):
        pass
    loop.close()


@contextmanager
def deterministic(seed: int, clock: Callable[[], float]) -> Iterator[None]:
    """Randomness and wall clock from the seed; no garbage collector that would end generators when it likes."""
    rng = random.Random(f"code {seed}")
    random.seed(seed)
    collecting = gc.isenabled()
    gc.disable()
    try:
        with (
            mock.patch("secrets.token_hex", lambda count=32: rng.randbytes(count).hex()),
            mock.patch.object(time, "time_ns", lambda: int((1_767_225_600 + clock()) * 1e9)),
            mock.patch.object(layout, "session_clock", layout.SessionClock()),
        ):
            yield
    finally:
        structlog.reset_defaults()
        if collecting:
            gc.enable()
