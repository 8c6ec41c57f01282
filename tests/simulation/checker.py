"""The promise, held against every write: it knows what went in, and believes nothing that the record says."""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta

import msgspec

from libs.jobstate import lease, outcome, record
from libs.jobstate.job import Job
from libs.jobstate.lease import Lease, LeaseState
from libs.jobstate.outcome import OutcomeStatus, PageOutcome
from libs.jobstate.page import PageStatus
from libs.jobstate.status import ENDED, JobStatus
from libs.storage import layout
from libs.storage.store import Stored
from services.worker.reader import DEATHS_ALLOWED
from tests.simulation import script
from tests.simulation.facts import Facts, Shelf, outcome_at
from tests.simulation.laststate import LastState
from tests.simulation.process import Process, acting_for
from tests.simulation.script import Document, Fate, Key
from tests.simulation.story import Story

_RANK = {JobStatus.QUEUED: 0, JobStatus.EXTRACTING: 1, JobStatus.PROCESSING: 2} | dict.fromkeys(ENDED, 3)


class Checker:
    """`broken` collects what does not hold; the run ends with the first.

    `punctual`: a process that lives gets its turn in time, so it has no excuse for a lease that expires. On a real
    machine nobody promises that. `spare`: there is a fallback engine.
    """

    def __init__(
        self,
        library: dict[str, Document],
        story: Story,
        clock: Callable[[], float],
        *,
        punctual: bool = True,
        spare: bool = True,
    ) -> None:
        self._library = library
        self._story = story
        self._clock = clock
        self._punctual = punctual
        self._spare = spare
        self.bucket: Shelf
        #: How often the receiver of webhooks accepted each message.
        self.accepted: Mapping[str, int] = {}
        self.sessions: dict[str, Facts] = {}
        self.by_token: dict[str, Facts] = {}
        self.broken: list[str] = []
        self.culprit = ""
        self.holders: dict[str, Process] = {}
        self._guilt: dict[Key, int] = {}
        self._fell_back: set[Key] = set()
        self._serial = 0

    def fail(self, text: str, session: str = "") -> None:
        """An invariant does not hold."""
        self._story.tell(f"BROKEN: {text}", session=session)
        if not self.broken:
            self.culprit = session
        self.broken.append(text)

    # What the world does on purpose.

    def died(self, process: Process, holder: str) -> None:
        """A process died: its batches may be read again.

        The pages that its leases name come under suspicion without a fault, but for the one that killed it: an outage
        may have kept a lease from being given back, with the name of a page that was read no more.
        """
        for facts in self.sessions.values():
            for held in facts.leases.values():
                if held.state is not LeaseState.HELD or held.holder != holder:
                    continue
                facts.excuses += 1
                if process.killed_by is None or _names_one(held):
                    self._suspect(facts, held.in_hand, but=process.killed_by)

    def interrupted(self, holder: str) -> None:
        """A process was told to stop, or stands still, or its engine broke: it gives its batches back."""
        for facts in self.sessions.values():
            if any(held.holder == holder for held in facts.leases.values()):
                facts.excuses += 1

    def tore(self, facts: Facts) -> None:
        """A record was lost or torn: the job will be known again by its evidence."""
        self._story.tell("the record is torn", session=facts.session_id)
        facts.torn_cancelled = facts.job is not None and facts.job.status is JobStatus.CANCELLED
        facts.job, facts.torn = None, True
        facts.excuses += 1

    def _suspect(self, facts: Facts, pages: Iterable[int], but: Key | None = None) -> None:
        for page_no in pages:
            if facts.document is not None and (key := (facts.document.token, page_no)) != but:
                self._blame(key)

    def _blame(self, key: Key) -> None:
        self._guilt[key] = self._guilt.get(key, 0) + 1

    def slowed(self) -> None:
        """A request or its answer took seconds, on purpose."""
        if (facts := self.sessions.get(acting_for.get())) is not None:
            facts.troubled_at = self._clock()

    def faulted(self) -> None:
        """The store failed a request on purpose."""
        if (facts := self.sessions.get(acting_for.get())) is not None:
            facts.excuses += 1
            facts.troubled_at = self._clock()

    def harmed(self, process: Process, key: Key, fate: Fate) -> None:
        """A page did its harm to an engine, and perhaps to the process."""
        self._story.tell(f"page {key[1]} {fate}", session=self.by_token[key[0]].session_id)
        self._blame(key)
        process.killed_by = None if fate is Fate.BREAKS else key
        process.hangs = fate is Fate.HANGS
        self.by_token[key[0]].excuses += 1

    def began(self, process: Process, key: Key) -> int:
        """A page enters an engine; the number of this reading."""
        token, page_no = key
        facts = self.by_token[token]
        self._serial += 1
        if facts.job is None or page_no not in facts.job.pages:
            return self._serial
        for held in facts.leases.values():
            if page_no in held.pages and held.holder == process.holder and held.state is LeaseState.HELD:
                run, at = facts.read_at.get(page_no, (0, held.taken_at))
                if run == held.run and at < held.taken_at:
                    self.fail(f"page {page_no} is read again although it has its outcome", facts.session_id)
                counted = (held.run, page_no)
                facts.readings[counted] = facts.readings.get(counted, 0) + 1
        return self._serial

    def fell_back(self, process: Process, key: Key) -> None:
        """A page is given to the fallback engine."""
        self.began(process, key)
        self._fell_back.add(key)
        if self._guilt.get(key, 0) < DEATHS_ALLOWED:
            self.fail(f"page {key[1]} went to the fallback too early", self.by_token[key[0]].session_id)

    # What the bucket sees.

    def observe(self, process: Process, path: str, before: Stored | None, after: Stored | None) -> None:
        """An object was written (`after`) or deleted (`None`)."""
        session = _session_of(path)
        if not session:
            return
        if acting_for.get() not in ("", session):
            self.fail(f"{process.name} touches {path} while working for {acting_for.get()}", session)
        self._pace(path, before, after)
        kind, user_hash = path.split("/")[:2]
        facts = self.sessions.setdefault(session, Facts(user_hash, session))
        if facts.user_hash != user_hash:
            self.fail(f"{path} lies under another user", session)
        if kind == "tombstones":
            facts.buried = True
        if kind != "users":
            return
        name = path.removeprefix(facts.prefix)
        if name == layout.RECORD:
            self._record(facts, before, after)
        elif name.startswith(layout.BATCHES):
            self._lease(facts, before, after)
        elif name == layout.PASSWORD and after is None:
            self._forgotten(facts)
        elif name.endswith("_result.json"):
            self._outcome(facts, before, after)
        elif name.endswith(script.SUFFIXES) and after is not None:
            facts.document = self._library[script.token_of(after.data)]
            self.by_token[facts.document.token] = facts

    def _forgotten(self, facts: Facts) -> None:
        """The password was deleted: after the document was read in, or the job has ended before that."""
        facts.forgotten = True
        excused = facts.buried or facts.torn or facts.ended_runs
        if not excused and facts.job is not None and not facts.job.extraction_complete:
            self.fail("the password was deleted before the document was read in", facts.session_id)

    def _pace(self, path: str, before: Stored | None, after: Stored | None) -> None:
        if after is None or before is None or not self.bucket.paced:
            return
        if after.updated_at - before.updated_at < timedelta(seconds=1):
            self.fail(f"{path} was written twice within a second", _session_of(path))

    def _record(self, facts: Facts, before: Stored | None, after: Stored | None) -> None:
        if after is None:
            if facts.accepted and not facts.buried:
                self.fail("the record was deleted", facts.session_id)
            facts.job = None
            return
        new = record.decode(after.data)
        known, facts.job = facts.job, new
        if new.ended:
            facts.ended_runs.add(new.run)
        if before is None or (facts.torn and known is None):
            # A record made anew beside a deletion is not seen to stay: `finish` looks for what is left.
            if facts.buried and not facts.torn:
                self.fail("a deleted job came back", facts.session_id)
            if facts.torn_cancelled and new.status is not JobStatus.CANCELLED and self._is_noted(facts):
                self.fail("a cancelled job goes on", facts.session_id)
            return
        old = record.decode(before.data)
        if text := _step_back(old, new):
            self.fail(text, facts.session_id)
        for page_no, page in new.pages.items():
            if not page.ended or (page_no in old.pages and old.pages[page_no] == page):
                continue
            found = outcome_at(self.bucket, facts, page_no)
            same = found is not None and found.run >= page.run and found.status.value == page.status.value
            if not same and not facts.buried:
                self.fail(f"the record says page {page_no} is {page.status}, its outcome does not", facts.session_id)

    def _is_noted(self, facts: Facts) -> bool:
        """Whether it still says beside the record that the job was cancelled; a retry takes that away."""
        return self.bucket.peek(facts.prefix + layout.CANCELLED) is not None

    def _lease(self, facts: Facts, before: Stored | None, after: Stored | None) -> None:
        if after is None:
            return
        new = lease.decode(after.data)
        facts.leases[new.name] = new
        if before is None:
            return
        old = lease.decode(before.data)
        holder = self.holders.get(old.holder)
        if new.claim == old.claim:
            # Where a page hangs the process ends, and what is read beside it is given back.
            facts.excuses += new.state is LeaseState.RELEASED and holder is not None and holder.hangs
            if holder is not None and not holder.alive and (holder.killed_by is None or _names_one(new)):
                # What a process wrote just before its death arrives after it.
                self._suspect(facts, set(new.in_hand) - set(old.in_hand), but=holder.killed_by)
            if holder is not None and holder.was_frozen:
                # A machine that stood still finds that its engine took too long.
                self._suspect(facts, (n for n, deaths in new.deaths.items() if deaths > old.deaths.get(n, 0)))
            return
        if new.run < old.run:
            self.fail(f"lease {new.name} goes back to run {new.run}", facts.session_id)
        if new.run > old.run:
            facts.excuses += old.state is LeaseState.HELD  # its holder may still be about to read
            return
        age = after.updated_at - before.updated_at
        if old.state is LeaseState.HELD and age < timedelta(seconds=old.seconds):
            self.fail(f"lease {new.name} has two valid holders", facts.session_id)
        if old.state is LeaseState.FINISHED:
            self.fail(f"lease {new.name} was finished and is claimed again", facts.session_id)
        if old.state is LeaseState.HELD:
            facts.excuses += 1
            if holder is not None and holder.alive:
                # Nobody can tell a holder that stands still from a dead one.
                self._suspect(facts, old.in_hand)
            untroubled = facts.troubled_at < self._clock() - 2 * age.total_seconds()
            if self._punctual and holder is not None and holder.alive and not holder.was_frozen and untroubled:
                self.fail(f"{holder.name} let lease {new.name} expire, alive and untroubled", facts.session_id)

    def _outcome(self, facts: Facts, before: Stored | None, after: Stored | None) -> None:
        if after is None:
            if not facts.buried:
                self.fail("an outcome was deleted", facts.session_id)
            return
        new = outcome.decode(after.data)
        old = outcome.decode(before.data) if before else None
        if old is not None and new.run < old.run:
            self.fail(f"page {new.page_no} goes back to run {new.run}", facts.session_id)
        same_run = old is not None and old.status is not OutcomeStatus.PENDING and new.run == old.run
        if old is not None and same_run and not _is_only_marked(old, new):
            self.fail(f"page {new.page_no} changed after it could be read", facts.session_id)
        if facts.job is not None and new.due_run > facts.job.run:
            self.fail(f"page {new.page_no} was marked before run {new.due_run} began", facts.session_id)
        if new.status is not OutcomeStatus.PENDING:
            facts.read_at[new.page_no] = (new.run, after.updated_at)
            wrong = self._wrong(facts, new)
            if new.read_in and (failure := new.failed_in(new.run)) is not None:
                wrong = wrong or self._wrong(facts, failure)
            if not facts.buried and wrong:
                self.fail(wrong, facts.session_id)
        if not facts.buried:
            self._keep(facts, new)

    def _keep(self, facts: Facts, new: PageOutcome) -> None:
        """Every text that was ever a page's result can still be read: as its result, or as that of an earlier run."""
        known = facts.good.setdefault(new.page_no, {})
        if known and new.status is not OutcomeStatus.COMPLETED:
            self.fail(f"page {new.page_no} lost its text", facts.session_id)
        if new.status is OutcomeStatus.COMPLETED:
            known.setdefault(new.reading_run, new)
        for run, reading in known.items():
            stored = self.bucket.peek(facts.prefix + layout.PAGE_READING.format(new.page_no, run))
            kept = new if run == new.reading_run else stored and outcome.decode(stored.data)
            if not kept or (kept.text, kept.engine) != (reading.text, reading.engine):
                self.fail(f"the reading of page {new.page_no} in run {run} is lost", facts.session_id)

    def _wrong(self, facts: Facts, found: PageOutcome) -> str:
        assert facts.document is not None
        page = facts.document.pages[found.page_no - 1]
        if found.status is OutcomeStatus.FAILED:
            key = facts.document.token, found.page_no
            own_fault = page.fate in (Fate.FAILS, Fate.UNDRAWN) or facts.document.unreadable
            own_fault |= facts.forgotten and found.error == script.LOCKED
            own_fault |= not script.reads(key, found.engine or "") or not script.draws(key, found.dpi or script.DPI)
            guilt = self._guilt.get(key, 0)
            if not found.error or not (own_fault or guilt >= DEATHS_ALLOWED):
                return f"page {found.page_no} failed, and its engine did not: {found.error}"
            # One death more than allowed may have been that of the fallback's worker.
            by_spare = key in self._fell_back and not (script.spare_reads(key) and guilt == DEATHS_ALLOWED)
            if self._spare and not own_fault and not by_spare:
                return f"page {found.page_no} was given up, and its fallback would have read it"
        elif found.blank != (page.fate is Fate.BLANK):
            return f"page {found.page_no} is blank or not, wrongly"
        elif not found.blank and not found.text.startswith(script.text(facts.document.token, found.page_no) + ","):
            return f"page {found.page_no} has another page's text"
        return ""

    # When all is quiet.

    def open_work(self) -> list[str]:
        """What has still to happen before the world may end."""
        waiting = [f"{stat.path} is not buried" for stat in self.bucket.list(layout.TOMBSTONES)]
        waiting += [f"{stat.path} is not told" for stat in self.bucket.list(layout.UNDELIVERED)]
        for facts in self.sessions.values():
            if facts.job is not None and not facts.job.ended:
                waiting.append(f"job {facts.session_id} is {facts.job.status} at {facts.job.percent}%")
            elif facts.job is None and facts.torn and not facts.buried:
                waiting.append(f"the record of {facts.session_id} is lost")
            elif facts.job is not None and self.bucket.peek(layout.active_path(facts.user_hash, facts.session_id)):
                waiting.append(f"job {facts.session_id} has ended and is still active")
        return waiting

    def finish(self) -> None:
        """Hold the last state against what went in."""
        LastState(self.bucket, self.accepted, self.fail).check(self.sessions.values())


def _is_only_marked(old: PageOutcome, new: PageOutcome) -> bool:
    """Whether a retry has marked the outcome, and nothing else of it is new."""
    return new == msgspec.structs.replace(old, again=new.again) and new.due_run > old.due_run


def _names_one(held: Lease) -> bool:
    """Whether the lease names a page before it is read, and no other: the next holder holds its death against it."""
    return held.suspicious and len(held.in_hand) == 1


def _step_back(old: Job, new: Job) -> str:
    """What went back, or changed that may not, between two states of a record."""
    if new.run < old.run:
        return f"run {old.run} became {new.run}"
    if new.revision != old.revision + 1:
        return f"revision {old.revision} became {new.revision}"
    if old.planned and new.pages.keys() != old.pages.keys():
        return "the plan changed"
    if new.run > old.run:
        return "" if old.ended else "a new run began before the last one ended"
    if new.percent < old.percent:
        return f"percent fell from {old.percent} to {new.percent}"
    if _RANK[new.status] < _RANK[old.status] or (old.ended and new.status is not old.status):
        return f"status went from {old.status} to {new.status}"
    for page_no, page in old.pages.items():
        now = new.pages[page_no]
        if page.ended and now != page:
            return f"page {page_no} had ended as {page.status} and changed"
        if page.image and not now.image:
            return f"page {page_no} lost its image"
        if page.status is PageStatus.PROCESSING and now.status is PageStatus.PENDING:
            return f"page {page_no} went back to pending"
    return ""


def _session_of(path: str) -> str:
    parts = path.split("/")
    return parts[2] if len(parts) >= 3 and layout.is_session_id(parts[2]) else ""
