"""A round told to the simulation's checker, write by write, as if it had been there."""

from libs.jobstate import lease, outcome, record
from libs.jobstate.outcome import OutcomeStatus
from libs.jobstate.status import ENDED, JobStatus
from libs.storage import layout
from libs.storage.store import Stat, Stored
from tests.chaos.history import Version
from tests.chaos.journal import Entry, What
from tests.simulation.checker import Checker
from tests.simulation.facts import Facts
from tests.simulation.process import Process, acting_for, current
from tests.simulation.script import Document, Fate
from tests.simulation.story import Story


class Objects:
    """The objects as they stood at the moment of the replay."""

    paced = False

    def __init__(self) -> None:
        self.standing: dict[str, Stored] = {}

    def peek(self, path: str) -> Stored | None:
        return self.standing.get(path)

    def list(self, prefix: str) -> list[Stat]:
        return [
            Stat(path=path, size=len(stored.data), generation=stored.generation, updated_at=stored.updated_at)
            for path, stored in sorted(self.standing.items())
            if path.startswith(prefix)
        ]


class Replay:
    """Goes through journal and history in the order of time; `checker` then knows what was broken."""

    def __init__(self, library: dict[str, Document], began_at: int) -> None:
        self._began_at = began_at
        self._now = 0.0
        self._processes: dict[int, Process] = {}
        self._cancelled: set[str] = set()
        self._accepted: set[str] = set()
        self.story = Story(lambda: self._now)
        self.checker = Checker(library, self.story, lambda: self._now, punctual=False, spare=False)
        self.objects = Objects()
        self.checker.bucket = self.objects
        self.recognitions = 0
        self.duplicated: list[tuple[str, int]] = []

    def run(self, entries: list[Entry], versions: list[Version]) -> None:
        """Everything that happened, then what is left of it."""
        told = [(entry.at, 0, entry) for entry in entries] + [(version.at, 1, version) for version in versions]
        for at, _, event in sorted(told, key=lambda item: item[:2]):
            self._now = (at - self._began_at) / 1e6
            if isinstance(event, Version):
                self._version(event)
            else:
                self._entry(event)
        self.checker.finish()
        for session in self._accepted - self.checker.sessions.keys():
            self.checker.fail("nothing is left of an accepted job", session)
        if not self._accepted and not self.ends():
            self.checker.fail("no job was made, so nothing was put to the test")

    def lost(self) -> list[tuple[str, int]]:
        """The pages of accepted jobs that are not accounted for; page 0 stands for a job without a plan."""
        found: list[tuple[str, int]] = [(s, 0) for s in self._accepted - self.checker.sessions.keys()]
        for facts in self.checker.sessions.values():
            if not facts.accepted or facts.buried:
                continue
            if facts.job is None or not facts.job.ended:
                found.append((facts.session_id, 0))
            elif facts.job.status is not JobStatus.CANCELLED:
                found += [(facts.session_id, n) for n in facts.job.pages if not self._has_outcome(facts, n)]
        return found

    def ends(self) -> list[str]:
        """How each job ended."""
        return [_end(facts) for facts in self.checker.sessions.values() if facts.accepted or facts.job is not None]

    def culprits(self) -> list[str]:
        """The jobs of which something was broken, in order."""
        return list(dict.fromkeys(event.session for event in self.story.events if event.text.startswith("BROKEN")))

    def _has_outcome(self, facts: Facts, page_no: int) -> bool:
        stored = self.objects.peek(facts.prefix + layout.PAGE_OUTCOME.format(page_no))
        return stored is not None and outcome.decode(stored.data).status is not OutcomeStatus.PENDING

    def _version(self, version: Version) -> None:
        path, before = version.path, self.objects.peek(version.path)
        if version.stored is None:
            if before is None:
                return
            del self.objects.standing[path]
        else:
            self.objects.standing[path] = version.stored
            if f"/{layout.BATCHES}" in path:
                self._meet(lease.decode(version.stored.data).holder)
        self._tell(path, version.stored)
        session = path.split("/")[2] if path.count("/") >= 2 else ""
        if (facts := self.checker.sessions.get(session)) is not None:
            facts.accepted = session in self._accepted
            facts.cancelled = session in self._cancelled
        current.set(None)
        self.checker.observe(_STORE, path, before, version.stored)

    def _entry(self, entry: Entry) -> None:
        process = self._processes.get(entry.pid)
        current.set(process)
        match entry.what:
            case What.BORN:
                self._processes[entry.pid] = Process(f"{entry.name}.{entry.pid}", entry.name, 0.0)
            case What.STOPPED if process is not None:
                process.was_frozen = True
                self.checker.interrupted(process.holder)
                self.story.tell("stands still")
            case What.DIED if process is not None:
                process.alive = False
                self.checker.died(process, process.holder)
                self.story.tell(f"has died: {entry.code} {entry.place or 'at random'}")
            case What.HIT:
                self.story.tell(f"{entry.name} itself at {entry.place}")
            case What.OUTAGE:
                current.set(None)
                self.story.tell(f"the disk is {entry.name}")
            case What.FAULT:
                acting_for.set(entry.path.split("/")[2] if entry.path.count("/") >= 2 else "")
                self.checker.faulted()
                self.story.tell(f"{entry.name} {entry.path.rpartition('/')[2]}")
                acting_for.set("")
            case What.READS if process is not None:
                self._reads(process, entry.token, entry.page_no)
            case What.HARMS if process is not None:
                self.checker.harmed(process, (entry.token, entry.page_no), Fate(entry.name))
            case What.ACCEPTED:
                self._accepted.add(entry.session)
                if (facts := self.checker.sessions.get(entry.session)) is not None:
                    facts.accepted = True
            case What.CANCELLED:
                self._cancelled.add(entry.session)
                if (facts := self.checker.sessions.get(entry.session)) is not None:
                    facts.cancelled = True
            case _:
                raise AssertionError(f"{entry.what} of an unknown process")

    def _reads(self, process: Process, token: str, page_no: int) -> None:
        self.recognitions += 1
        facts = self.checker.by_token[token]
        self.story.tell(f"reads page {page_no}", session=facts.session_id)
        stored = self.objects.peek(facts.prefix + layout.PAGE_OUTCOME.format(page_no))
        if stored is not None and facts.job is not None and page_no in facts.job.pages:
            standing = outcome.decode(stored.data)
            if standing.status is not OutcomeStatus.PENDING and standing.run >= facts.job.pages[page_no].run:
                self.duplicated.append((facts.session_id, page_no))
                self.checker.fail(f"page {page_no} is read although it has its outcome", facts.session_id)
        self.checker.began(process, (token, page_no))

    def _meet(self, holder: str) -> None:
        """A holder signs with its host, its process id and a number of its own."""
        if holder in self.checker.holders:
            return
        process = self._processes[int(holder.split("-")[-2])]
        process.holder = holder
        self.checker.holders[holder] = process

    def _tell(self, path: str, stored: Stored | None) -> None:
        name = path.rpartition("/")[2]
        session = path.split("/")[2] if path.count("/") >= 2 else ""
        text = "deleted"
        if stored is not None:
            text = "written"
            if name == layout.RECORD:
                job = record.decode(stored.data)
                text = f"run {job.run} revision {job.revision} {job.status} {job.current_step} {job.percent}%"
            elif f"/{layout.BATCHES}" in path:
                held = lease.decode(stored.data)
                who = self.checker.holders[held.holder].name
                text = f"run {held.run} {held.state} by {who} attempt {held.attempt} in hand {list(held.in_hand)}"
            elif name.endswith("_result.json"):
                found = outcome.decode(stored.data)
                text = f"run {found.run} {found.status} {found.error or ''}"
        self.story.tell(f"{path.split('/')[0]} {name} {text}".rstrip(), session=session, who="store")


_STORE = Process("store", "store", 0.0)


def _end(facts: Facts) -> str:
    if facts.buried:
        return "deleted"
    if facts.job is None:
        return "lost"
    return facts.job.status.value if facts.job.status in ENDED else f"stuck while {facts.job.status.value}"
