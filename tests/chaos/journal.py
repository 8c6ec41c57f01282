"""What happens, as those who do it note it down: a line an event, appended whole, so that a kill loses none."""

import os
import time
from enum import StrEnum
from pathlib import Path

import msgspec

_TAIL_BYTES = 20_000


class What(StrEnum):
    """The kinds of event."""

    BORN = "born"  # a process was started
    DIED = "died"  # a process has ended; `code` is how
    STOPPED = "stopped"  # a process was sent SIGSTOP, or sent it to itself
    HIT = "hit"  # a process came to its failpoint and kills or stops itself
    OUTAGE = "outage"  # the disk turned full or read-only
    FAULT = "fault"  # the store failed a write
    READS = "reads"  # a page enters an engine
    HARMS = "harms"  # a page does its harm to an engine
    ACCEPTED = "accepted"  # a user was answered 202
    CANCELLED = "cancelled"  # a user asked for the end of a job


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event; `at` in microseconds since 1970 by the machine's clock, as the generations of stored objects are."""

    at: int
    what: What
    pid: int = 0
    name: str = ""
    place: str = ""
    code: int = 0
    path: str = ""
    session: str = ""
    token: str = ""
    page_no: int = 0


def now() -> int:
    """The time of an event."""
    return time.time_ns() // 1000


class Journal:
    """Any number of processes may write to one file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def note(
        self,
        what: What,
        *,
        pid: int = 0,
        name: str = "",
        place: str = "",
        code: int = 0,
        path: str = "",
        session: str = "",
        token: str = "",
        page_no: int = 0,
    ) -> None:
        """Add an event of this process, or of process `pid`."""
        entry = Entry(
            at=now(),
            what=what,
            pid=pid or os.getpid(),
            name=name,
            place=place,
            code=code,
            path=path,
            session=session,
            token=token,
            page_no=page_no,
        )
        os.write(self._descriptor, msgspec.json.encode(entry) + b"\n")

    def entries(self) -> list[Entry]:
        """All events so far, in the order of their writing."""
        decoder = msgspec.json.Decoder(Entry)
        return [decoder.decode(line) for line in self._file.read_bytes().splitlines()]

    def last_hit(self, pid: int) -> str:
        """The place at which this process, which has just ended, came to its failpoint, or nothing."""
        with self._file.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().splitlines()[1:]
        entries = (msgspec.json.decode(line, type=Entry) for line in reversed(lines))
        return next((entry.place for entry in entries if entry.pid == pid and entry.what is What.HIT), "")

    def close(self) -> None:
        """Write no more."""
        os.close(self._descriptor)
