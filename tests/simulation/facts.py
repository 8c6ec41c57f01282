"""What the checker has seen of a job, and the objects as they stand."""

from datetime import datetime
from typing import Protocol

from libs.jobstate import outcome
from libs.jobstate.job import Job
from libs.jobstate.lease import Lease
from libs.jobstate.outcome import PageOutcome
from libs.storage import layout
from libs.storage.store import Stat, Stored
from tests.simulation.script import Document


class Shelf(Protocol):
    """The objects as they stand. `paced`: one takes a write a second."""

    paced: bool

    def peek(self, path: str) -> Stored | None: ...

    def list(self, prefix: str) -> list[Stat]: ...


class Facts:
    """What the checker has seen of one job. `excuses` are reasons for which a page may be read once more."""

    def __init__(self, user_hash: str, session_id: str) -> None:
        self.user_hash = user_hash
        self.session_id = session_id
        self.document: Document | None = None
        self.accepted = False
        self.cancelled = False
        self.buried = False
        self.torn = False
        self.torn_cancelled = False
        #: The password of its document was deleted.
        self.forgotten = False
        self.job: Job | None = None
        self.ended_runs: set[int] = set()
        self.leases: dict[str, Lease] = {}
        self.read_at: dict[int, tuple[int, datetime]] = {}
        self.readings: dict[tuple[int, int], int] = {}
        #: What a user was promised, by run and page: the options of the reading.
        self.asked: dict[tuple[int, int], dict[str, str | int]] = {}
        #: The texts that were ever a page's result, by page and run.
        self.good: dict[int, dict[int, PageOutcome]] = {}
        self.excuses = 0
        self.troubled_at = -1e9  # when the network last kept a request of this job from its way

    @property
    def prefix(self) -> str:
        return layout.session_prefix(self.user_hash, self.session_id)


def outcome_at(bucket: Shelf, facts: Facts, page_no: int) -> PageOutcome | None:
    """The page's outcome as it stands."""
    stored = bucket.peek(facts.prefix + layout.PAGE_OUTCOME.format(page_no))
    return outcome.decode(stored.data) if stored else None
