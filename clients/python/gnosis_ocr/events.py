"""Server-sent events of a job (https://html.spec.whatwg.org/multipage/server-sent-events.html), without a gap."""

import time

import msgspec

from gnosis_ocr.errors import Unreachable
from gnosis_ocr.exchange import Answer, Flow, Item, Pause, ReadLine, Request, Stream, ask
from gnosis_ocr.models import DoneEvent, Event

# Seconds of silence after which a stream is lost: three of the service's comments, one each 15 s, are missing.
_SILENCE_SECONDS = 50.0
# Seconds before the client comes again, until the service has said another time (`retry:`). Chosen.
_RETRY_SECONDS = 1.0


class EventSource:
    """The events of one job. After a break it goes on with the event after the last one."""

    def __init__(self, job_id: str, *, patience: float) -> None:
        self._path = f"/api/jobs/{job_id}/events"
        self._patience = patience
        self._retry = _RETRY_SECONDS
        self._last_id = ""
        self._lines: object = None
        self._heard = time.monotonic()
        self._done = False

    def next(self) -> Flow[Event | None]:
        """The next event; None after the last. Raises `ApiError`, `Unreachable`."""
        fields: dict[str, str] = {}
        while not self._done:
            if self._lines is None:
                fields = {}
                answer: Answer = yield from ask(self._request(), patience=self._patience)
                self._lines, self._done = answer.lines, answer.status == 204
                continue
            line = yield from self._line()
            if line is None:
                self._lines = None
                yield Pause(self._retry)
            elif line:
                name, _, value = line.partition(":")
                fields[name] = value.removeprefix(" ")
            elif (event := self._told(fields)) is not None:
                return event
            else:
                fields = {}
        return None

    def _line(self) -> Flow[str | None]:
        """The next line; None where the stream has ended or broken. Raises `Unreachable` when that lasts too long."""
        try:
            line: str | None = yield ReadLine(self._lines)
        except Unreachable:
            if time.monotonic() > self._heard + self._patience + _SILENCE_SECONDS:
                raise
            return None
        self._heard = time.monotonic()
        return line

    def _told(self, fields: dict[str, str]) -> Event | None:
        """The event of these fields; None for a comment, and for a kind of event that a newer service has."""
        self._last_id = fields.get("id", self._last_id)
        if (milliseconds := fields.get("retry", "")).isdigit():
            self._retry = int(milliseconds) / 1000
        try:
            event: Event = msgspec.json.decode(fields.get("data", ""), type=Event)
        except msgspec.DecodeError:
            return None
        self._done = isinstance(event, DoneEvent)
        return event

    def _request(self) -> Request:
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": self._last_id} if self._last_id else {})}
        return Request(method="GET", path=self._path, headers=headers, timeout=_SILENCE_SECONDS, listen=True)


def events(job_id: str, *, patience: float) -> Stream[Event]:
    """Every event until the job has ended."""
    source = EventSource(job_id, patience=patience)
    while (event := (yield from source.next())) is not None:
        yield Item(event)
