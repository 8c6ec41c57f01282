"""The person at the terminal: lines and a progress bar on standard error, Ctrl-C as an event."""

import asyncio
import signal
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import msgspec
from tqdm import tqdm


def say(line: str) -> None:
    """Print a line on standard error."""
    print(f"gnosis-ocr: {line}", file=sys.stderr, flush=True)


class Interrupts:
    """SIGINT, SIGTERM and SIGHUP as events. Made inside a running event loop."""

    def __init__(self) -> None:
        #: Set by the first signal: end in good order.
        self.stop = asyncio.Event()
        #: Set by a second signal: end at once.
        self.at_once = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._note)

    def _note(self) -> None:
        (self.at_once if self.stop.is_set() else self.stop).set()


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """How far a job is in its current step."""

    name: str
    #: Pages.
    done: int
    #: Pages; None until they are counted.
    total: int | None


def phase(record: Mapping[str, Any]) -> Phase:
    """The phase of a job's record: pages are extracted first, then read."""
    pages = record["pages"].values()
    total = len(pages) or None
    if record["current_step"] in ("queued", "extracting_images"):
        return Phase(name="Extracting", done=sum(1 for page in pages if page["image"]), total=total)
    ended = sum(1 for page in pages if page["status"] in ("completed", "failed"))
    return Phase(name="Reading", done=ended, total=total)


class ProgressBar:
    """Shows a job's records on standard error, one bar for each phase."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._shown = ""

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def show(self, record: Mapping[str, Any]) -> None:
        """Move the bar to where the record is."""
        now = phase(record)
        if self._bar is None or self._shown != now.name:
            self._close()
            self._shown = now.name
            self._bar = tqdm(desc=now.name, unit="page", file=sys.stderr, dynamic_ncols=True)
        self._bar.total = now.total
        self._bar.n = now.done
        self._bar.set_postfix_str(str(record["message"]), refresh=False)
        self._bar.refresh()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
