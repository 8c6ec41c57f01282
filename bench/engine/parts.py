"""A run of the bench in parts: each by itself, within a time budget, saved as soon as it has ended.

Knows nothing of what is measured.
"""

import time
import traceback
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

# Of a traceback, the end: where it was raised.
_TRACE_CHARACTERS = 1500
_MESSAGE_CHARACTERS = 500


class State(StrEnum):
    """What became of a part."""

    RUNNING = "running"  #: it has begun; in a file left by a process that was killed, the part that did not end
    DONE = "done"
    FAILED = "failed"  #: `error` has the reason; rows that it gave before are kept
    SKIPPED = "skipped"  #: `why` has the reason


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement. `run` returns its figure, or yields the rows of it, which are saved one by one.

    `seconds` is what it needs, as estimated; with less than that left it is skipped. `after` names the parts that have
    to be done before it.
    """

    name: str
    seconds: float
    run: Callable[[], Any]
    after: tuple[str, ...] = ()


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """An exception, as recorded. `cause` is the type and message of the one it was raised from."""

    type: str
    message: str
    cause: str | None
    trace: str

    @property
    def line(self) -> str:
        """Type and first line of the message."""
        return f"{self.type}: {self.message.partition(chr(10))[0]}"


class Outcome(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What became of a part, and its figure: a number, named numbers, or rows of them. `seconds` is what it took."""

    state: State
    seconds: float = 0.0
    figure: Any = None
    why: str | None = None
    error: Fault | None = None


def _print(line: str) -> None:
    """At once, also into a pipe: a process that is killed leaves its lines."""
    print(line, flush=True)


class Figures:
    """The outcomes of all parts so far, in `file` (JSON) after each part and each row; also printed as they come.

    The file is replaced as a whole: whoever reads it, at any moment, finds valid JSON. `about` describes machine and
    versions. `budget` is in seconds from now; None for no limit.
    """

    def __init__(
        self,
        about: dict[str, Any],
        *,
        budget: float | None = None,
        file: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        tell: Callable[[str], None] = _print,
    ) -> None:
        self.about = about
        self.outcomes: dict[str, Outcome] = {}
        self._budget = budget
        self._file = file
        self._clock = clock
        self._tell = tell
        self._began = clock()

    def __getitem__(self, name: str) -> Any:
        """The figure of a part; None where it is not done."""
        outcome = self.outcomes.get(name)
        return outcome.figure if outcome and outcome.state is State.DONE else None

    @property
    def failed(self) -> bool:
        """Whether a part failed."""
        return any(outcome.state is State.FAILED for outcome in self.outcomes.values())

    def measure(self, part: Part) -> None:
        """Run a part and record what became of it. An exception that it raises ends the part alone."""
        if why := self._obstacle(part):
            self._record(part.name, Outcome(state=State.SKIPPED, why=why))
            return
        began = self._clock()
        outcome = Outcome(state=State.RUNNING)
        self._record(part.name, outcome)
        try:
            figure = part.run()
            if isinstance(figure, Iterator):
                outcome.figure = []
                for row in figure:
                    outcome.figure.append(row)
                    outcome.seconds = self._clock() - began
                    self._record(part.name, outcome)
            else:
                outcome.figure = figure
            outcome.state = State.DONE
        except Exception as error:  # the other parts go on, whatever it is
            outcome.state, outcome.error = State.FAILED, _fault(error)
        outcome.seconds = self._clock() - began
        self._record(part.name, outcome)

    def _obstacle(self, part: Part) -> str | None:
        """Why the part cannot run; None where it can."""
        missing = [name for name in part.after if name not in self.outcomes or self.outcomes[name].state != State.DONE]
        if missing:
            return f"needs {', '.join(missing)}"
        if self._budget is not None:
            left = self._budget - (self._clock() - self._began)
            if left < part.seconds:
                return f"needs {part.seconds:.0f} s, {max(0.0, left):.0f} s left"
        return None

    def _record(self, name: str, outcome: Outcome) -> None:
        self.outcomes[name] = outcome
        if self._file:
            self._save(self._file)
        if outcome.state is State.RUNNING and not outcome.figure:
            return
        told = outcome.why or (outcome.error and outcome.error.line)
        if told is None and isinstance(outcome.figure, list):
            running = outcome.state is State.RUNNING
            told = _encoded(outcome.figure[-1]).decode() if running else f"{len(outcome.figure)} rows"
        elif told is None:
            told = _encoded(outcome.figure).decode()
        self._tell(f"{name:<14}{outcome.state.value:<9}{outcome.seconds:>7.1f} s  {told}")

    def _save(self, file: Path) -> None:
        part = file.with_name(f"{file.name}.part")
        part.write_bytes(msgspec.json.format(_encoded({**self.about, "parts": self.outcomes}), indent=2))
        part.replace(file)


def _encoded(value: Any) -> bytes:
    """JSON; what is not finite becomes null, and what JSON has no type for a string."""
    return msgspec.json.encode(value, enc_hook=str)


def _fault(error: Exception) -> Fault:
    cause = error.__cause__ or error.__context__
    return Fault(
        type=type(error).__name__,
        message=str(error)[:_MESSAGE_CHARACTERS],
        cause=f"{type(cause).__name__}: {cause}"[:_MESSAGE_CHARACTERS] if cause else None,
        trace="".join(traceback.format_exception(error))[-_TRACE_CHARACTERS:],
    )
