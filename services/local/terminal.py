"""The person at the terminal: lines, progress and tables on standard error, Ctrl-C as an event."""

import asyncio
import signal
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from types import TracebackType

import msgspec
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table


def say(line: str) -> None:
    """Print a line on standard error."""
    print(f"gnosis-ocr: {_shown(line)}", file=sys.stderr, flush=True)


def _shown(text: str) -> str:
    """The text without characters that would steer the terminal: a file's name may have any."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


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
    """How far a document is in its current step."""

    name: str
    #: Pages; of an upload bytes.
    done: int
    #: The same; None until they are counted.
    total: int | None


class Display:
    """Progress on standard error: a bar for each document on a terminal, else a line for each of its phases."""

    def __init__(self, *, quiet: bool, documents: int = 1) -> None:
        """`documents`: how many there will be; several have a bar for all of them, too."""
        # A file or a pipe has no width: there a row is one line, however long its names are.
        self._console = Console(file=sys.stderr, quiet=quiet, width=None if sys.stderr.isatty() else 10_000)
        self._quiet = quiet
        self._stack = ExitStack()
        self._phases: dict[str, str] = {}
        self._tasks: dict[str, TaskID] = {}
        self._bars: Progress | None = None
        self._all: TaskID | None = None
        if self._console.is_terminal and not quiet:
            self._bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[counted]}"),
                console=self._console,
                transient=True,
            )
            if documents > 1:
                self._all = self._bars.add_task("Documents", total=documents, counted=f"0 of {documents}")

    def __enter__(self) -> "Display":
        if self._bars is not None:
            self._stack.enter_context(self._bars)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def show(self, document: str, now: Phase) -> None:
        """Show where the document is."""
        if self._quiet:
            return
        if self._bars is None:
            if self._phases.get(document) != now.name:
                self._phases[document] = now.name
                say(f"{now.name}: {document}")
            return
        if document not in self._tasks:
            self._tasks[document] = self._bars.add_task("", counted="")
        self._bars.update(
            self._tasks[document],
            description=f"{now.name} {escape(_shown(document))}",
            completed=now.done,
            total=now.total,
            counted=_counted(now),
        )

    def end(self, document: str) -> None:
        """The document needs no bar any more."""
        if self._bars is None:
            return
        if (task := self._tasks.pop(document, None)) is not None:
            self._bars.remove_task(task)
        if self._all is not None:
            self._bars.advance(self._all)
            whole = self._bars.tasks[0]
            self._bars.update(self._all, counted=f"{whole.completed:g} of {whole.total:g}")

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print a table. Cells are text, whatever is in them."""
        table = Table(box=box.SIMPLE_HEAD)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(escape(_shown(cell)) for cell in row))
        self._console.print(table)


def _counted(now: Phase) -> str:
    if now.total is None:
        return ""
    if now.name == "Uploading":
        return f"{now.done / 1e6:.1f} of {now.total / 1e6:.1f} MB"
    return f"{now.done} of {now.total} pages"
