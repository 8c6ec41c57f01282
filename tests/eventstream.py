"""A client of `/events` that comes again with the last id, as a browser's `EventSource` does."""

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec

#: Seconds between two tries to reach a service that is away.
PAUSE_SECONDS = 0.05


class ServerEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event as it arrived."""

    id: str
    name: str
    data: dict[str, Any]


class Follower:
    """Follows one job over connections that may break."""

    def __init__(self, url: str, job_id: str, *, user: str = "", http2: bool = False) -> None:
        self.address = f"{url}/api/jobs/{job_id}/events"
        self.client = httpx.Client(
            trust_env=False, timeout=60, http1=not http2, http2=http2, headers={"X-User-Email": user} if user else {}
        )
        #: Of the last event that arrived.
        self.last_id = ""
        #: Every event that arrived.
        self.events: list[ServerEvent] = []
        #: The answers so far, by status.
        self.statuses: list[int] = []

    def __enter__(self) -> "Follower":
        return self

    def __exit__(self, *fault: object) -> None:
        self.client.close()

    def connect(self, most: int | None = None) -> bool:
        """Take the events of one connection, at most so many, until it ends or breaks; whether the job is done.

        Waits while no service is there.
        """
        arrived = 0
        with contextlib.suppress(httpx.TransportError):
            headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
            with self.client.stream("GET", self.address, headers=headers) as answer:
                self.statuses.append(answer.status_code)
                if answer.status_code != 200:
                    return answer.status_code == 204
                assert answer.headers["Content-Type"].startswith("text/event-stream")
                for event in events_of(answer.iter_lines()):
                    self.events.append(event)
                    self.last_id = event.id
                    arrived += 1
                    if event.name == "done" or arrived == most:
                        return event.name == "done"
        time.sleep(PAUSE_SECONDS)
        return False

    def pages(self) -> list[tuple[int, int]]:
        """The pages that were told, with their run, in the order in which they arrived."""
        return [(event.data["page_no"], event.data["run"]) for event in self.events if event.name == "page"]


def events_of(lines: Iterator[str]) -> Iterator[ServerEvent]:
    """The events in the lines of a stream; comments and what has no data are left out."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif "data" in fields:
            yield ServerEvent(id=fields["id"], name=fields["event"], data=json.loads(fields["data"]))
            fields = {}
