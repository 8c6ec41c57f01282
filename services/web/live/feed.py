"""The jobs that clients watch: one reader of the storage for each job, whatever the number of its watchers.

A feed looks at its job again and again while it has watchers, and hands each change to all of them at once. It reads
the record when that was written, and the leases and outcomes that the record does not show yet: a page is there the
moment it is saved, while the record follows at its own pace (`libs.jobstate.recorder.interval`).
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import islice

import msgspec
import structlog
from sse_starlette import ServerSentEvent

from libs.errors import ExpectedError
from libs.jobstate.commit import load_stored
from libs.jobstate.evidence import Evidence, Leases, read_evidence, read_outcomes
from libs.jobstate.job import Job
from libs.jobstate.outcome import BriefOutcome
from libs.jobstate.rebuild import load_or_rebuild
from libs.jobstate.record import TornRecord
from libs.storage.errors import NotFound, StorageError
from libs.storage.session import SessionFiles, validate_session
from libs.storage.store import ObjectStore
from services.serving.problem import Problem
from services.web.live.position import Event, Position, news

#: By how much the pause between two looks grows while nothing changes, and how many times the first pause it becomes at
#: most. Chosen: a page that ends after a long wait may be shown a little later than one of many.
GROWTH, MOST_GROWN = 1.5, 5.0
#: Seconds for each watcher over which the sending of a view is spread, so that other requests are answered in between;
#: those of the view that ends all streams. Estimated from the processor time that `python -m bench.events` takes more
#: with 500 watchers: a view takes some 0.1 ms a watcher, the end of a stream with its connection 2 ms. Chosen: a few
#: times and twice that.
SPREAD_SECONDS, END_SPREAD_SECONDS = 0.0004, 0.004
#: Seconds between two calls of `nudge`. Chosen: as long as a job must be still before the sweep looks at it.
NUDGE_SECONDS = 60.0
#: Events that a watcher gets at a time. Chosen: some 20 kB, which bounds what is held for a client that does not read.
MOST_EVENTS = 100
#: Positions of watchers for which a view keeps its events. Chosen: all who have kept up are at the same one.
MOST_POSITIONS = 64

Nudge = Callable[[SessionFiles, Job], Awaitable[None]]

log = structlog.get_logger()


class View(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A job as one look at the storage has found it."""

    #: As stored.
    record: Job
    #: The record with the outcomes that it does not show yet.
    job: Job
    _sent: dict[Position, tuple[bytes, Position]] = msgspec.field(default_factory=dict)

    def events(self, position: Position) -> tuple[bytes, Position]:
        """What a client at `position` is sent next, empty where it knows all, and where it then is.

        The bytes are made once for all clients at the position.
        """
        if (known := self._sent.get(position)) is not None:
            return known
        sent, after = b"", position
        for event, after in islice(news(position, self.job), MOST_EVENTS):
            sent += encoded(event, after)
        if len(self._sent) < MOST_POSITIONS:
            self._sent[position] = sent, after
        return sent, after


def encoded(event: Event, after: Position) -> bytes:
    """The event as sent. Its id is the position `after` it."""
    data = msgspec.json.encode(event).decode()
    return ServerSentEvent(data, event=str(event.__struct_config__.tag), id=after.id, sep="\n").encode()


class Stopping(Exception):
    """The process is about to end: clients come again, to another or to the next one."""


class Feed:
    """The views of one job, for all its watchers in this process."""

    def __init__(self, store: ObjectStore, email: str, job_id: str, *, nudge: Nudge, look_seconds: float) -> None:
        self._store = store
        self._email = email
        self._job_id = job_id
        self._nudge = nudge
        self._first_pause = look_seconds
        self._view: View | None = None
        self._end: Exception | None = None
        self._changed = asyncio.Event()
        self._soon = asyncio.Event()
        #: How many watch it now.
        self.watchers = 0
        self._task = asyncio.create_task(self._look_on())

    @property
    def has_ended(self) -> bool:
        """Whether there are no more views."""
        return self._end is not None

    async def newer(self, than: View | None) -> View:
        """The newest view, once it is another than `than`.

        Raises `NotFound` where the job is unknown, deleted or another user's, `Stopping`, and before the first view
        whatever the look at the job raises.
        """
        while self._view is than or self._view is None:
            if self._end is not None:
                raise self._end
            await self._changed.wait()
            if self._end is None:
                await asyncio.sleep(random.random() * self._spread)  # noqa: S311 - spreads work, guards nothing
        return self._view

    def look_soon(self) -> None:
        """The job was changed in this process."""
        self._soon.set()

    def end(self, reason: Exception) -> None:
        """No more views: all who wait for one get `reason`."""
        self._task.cancel()
        self._end = self._end or reason
        self._changed.set()

    async def _look_on(self) -> None:
        clock = asyncio.get_running_loop().time
        pause, nudged_at = self._first_pause, clock()
        try:
            files = await validate_session(self._store, self._email, self._job_id)
            looker = _Looker(files)
            while True:
                try:
                    view = await looker.look(self._view)
                    pause = self._first_pause if view is not self._view else min(pause * GROWTH, self._longest_pause)
                    if view is not self._view:
                        self._publish(view)
                    if clock() - nudged_at > NUDGE_SECONDS:
                        nudged_at = clock()
                        await self._nudge(files, view.record)
                except NotFound:
                    raise
                except StorageError as error:
                    if self._view is None:
                        raise
                    log.warning("look_postponed", job_id=self._job_id, error=type(error).__name__)
                    pause = self._longest_pause
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._soon.wait(), max(pause, 2 * self._spread))
                self._soon.clear()
        except Exception as error:  # any fault: its watchers must not wait for ever
            if not isinstance(error, ExpectedError):
                log.exception("look_failed", job_id=self._job_id)
            self._end = error
            self._changed.set()

    @property
    def _spread(self) -> float:
        ends = self._view is not None and self._view.job.ended
        return self.watchers * (END_SPREAD_SECONDS if ends else SPREAD_SECONDS)

    @property
    def _longest_pause(self) -> float:
        return self._first_pause * MOST_GROWN

    def _publish(self, view: View) -> None:
        self._view = view
        # A new event for the next change: all who wait now are woken, in one pass.
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class _Looker:
    """Reads what has changed of one job."""

    def __init__(self, files: SessionFiles) -> None:
        self._files = files
        self._leases = Leases(files)
        self._generation = 0
        self._run = 0
        # Of the present run: since when pages are held, and outcomes that the record did not show.
        self._started: dict[int, datetime] = {}
        self._outcomes: dict[int, BriefOutcome] = {}

    async def look(self, last: View | None) -> View:
        """The job now; `last` itself where nothing has changed. Raises `NotFound`, `TornIntake`, `StorageError`."""
        record = await self._record(last)
        if record.run != self._run:
            self._run, self._started, self._outcomes = record.run, {}, {}
        found = await self._beside(record)
        if last is not None and record is last.record and not found:
            return last
        evidence = Evidence(started=self._started, outcomes=self._outcomes)
        return View(record=record, job=evidence.merged(record, record.updated_at))

    async def _record(self, last: View | None) -> Job:
        """The record; that of `last` itself where it was not written since."""
        try:
            if last is not None:
                stat = await self._files.store.stat(self._files.record_path)
                if stat.generation == self._generation:
                    return last.record
            stored = await load_stored(self._files)
        except (NotFound, TornRecord):
            self._generation = 0
            return await load_or_rebuild(self._files)
        self._generation = stored.generation
        return stored.job

    async def _beside(self, record: Job) -> bool:
        """Whether pages are held, or have outcomes, that neither the record nor an earlier look has shown."""
        if record.ended or not record.planned:
            return False
        evidence = await read_evidence(self._leases, record, await self._leases.listed())
        started = {n: at for n, at in evidence.started.items() if n in record.pages and n not in self._started}
        self._started |= started
        # Also those of a lease that was given back: its pages may have ended before.
        held = [n for n in self._started if n not in self._outcomes and not record.pages[n].ended]
        saved = await read_outcomes(self._files, (n for n in held if n not in evidence.outcomes))
        found = {n: brief for n, brief in evidence.outcomes.items() if n not in self._outcomes}
        found |= {n: outcome.brief() for n, outcome in saved.items() if outcome.run == record.run}
        self._outcomes |= found
        return bool(started or found)


class Feeds:
    """The feeds of this process."""

    def __init__(self, store: ObjectStore, *, nudge: Nudge, look_seconds: float, most_each: int, most: int) -> None:
        """`look_seconds`: between two looks at a job while it changes. `nudge` is called for it now and then.

        `most_each`: watchers of one user at a time; `most`: of all users.
        """
        self._store = store
        self._nudge = nudge
        self._look_seconds = look_seconds
        self._most_each = most_each
        self._most = most
        self._feeds: dict[tuple[str, str], Feed] = {}
        self._watchers: Counter[str] = Counter()
        self._stopping = False

    @property
    def watchers(self) -> int:
        """How many clients watch a job now."""
        return self._watchers.total()

    @contextmanager
    def watched(self, email: str, job_id: str) -> Iterator[Feed]:
        """The feed of a job, which the user watches during the block. Raises `Problem` 429.

        Whether there is such a job, and whether it is the user's, turns out at its first view.
        """
        self._check_room(email)
        key = email, job_id
        feed = self._feeds.get(key)
        if feed is None or feed.has_ended:
            feed = Feed(self._store, email, job_id, nudge=self._nudge, look_seconds=self._look_seconds)
            self._feeds[key] = feed
            if self._stopping:
                feed.end(Stopping())
        self._watchers[email] += 1
        feed.watchers += 1
        try:
            yield feed
        finally:
            feed.watchers -= 1
            self._watchers -= Counter([email])  # drops a user who watches nothing
            if not feed.watchers:
                feed.end(Stopping())
                if self._feeds.get(key) is feed:
                    del self._feeds[key]

    def look_soon(self, job_id: str) -> None:
        """The job was changed in this process: its watchers need not wait for the next look."""
        for (_, watched), feed in self._feeds.items():
            if watched == job_id:
                feed.look_soon()

    def drain(self) -> None:
        """The process is about to end: all streams and waits end now, and clients go on elsewhere."""
        self._stopping = True
        for feed in self._feeds.values():
            feed.end(Stopping())

    def _check_room(self, email: str) -> None:
        if self._watchers[email] >= self._most_each:
            detail = f"You watch {self._most_each} jobs at a time already."
        elif self.watchers >= self._most:
            detail = "The service has as many watchers as it can serve."
        else:
            return
        raise Problem(
            429,
            "Too many watchers",
            detail,
            "Close other streams of events, or ask for the status now and then.",
            headers={"Retry-After": "30"},
        )
