"""What happened, as a timeline: the real code's own log events and the world's."""

from collections.abc import Callable, MutableMapping
from typing import Any

import msgspec
import structlog

from tests.simulation.process import acting_for, current

_QUIET = frozenset({"level", "event", "job_id", "exc_info"})


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """`at` in virtual seconds, `who` a process or the world, `session` the job it concerns, if any."""

    at: float
    who: str
    session: str
    text: str


class Story:
    """Grows while a seed runs."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.events: list[Event] = []

    def tell(self, text: str, *, session: str = "", who: str = "") -> None:
        """Add an event, of the running process unless `who` says otherwise."""
        process = current.get()
        self.events.append(
            Event(
                at=self._clock(),
                who=who or (process.name if process else "world"),
                session=session or acting_for.get(),
                text=text,
            )
        )

    def lines(self, session: str = "", most: int = 400) -> list[str]:
        """The timeline, of one job (with what befell processes) or of all; the last `most` events."""
        chosen = [event for event in self.events if not session or event.session in ("", session)]
        return [f"{event.at:9.3f}  {event.who:<10} {event.session[-4:]:<4}  {event.text}" for event in chosen[-most:]]

    def processor(self, logger: object, name: str, fields: MutableMapping[str, Any]) -> Any:
        """For structlog: a log line becomes an event, and goes nowhere else."""
        details = " ".join(f"{key}={value}" for key, value in fields.items() if key not in _QUIET)
        self.tell(f"{fields['event']} {details}".rstrip(), session=str(fields.get("job_id", "")))
        raise structlog.DropEvent
