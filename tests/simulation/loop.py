"""An event loop whose time is its own: it jumps to the next timer instead of waiting for it."""

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any

from tests.simulation.process import adopt


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
