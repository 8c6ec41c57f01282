"""The jobs of other users, served beside the job of a call or instead of it.

A task names a job, but the process decides whose turn it is: while a call works on one user's job, it looks at the
index of active jobs and seats users who have no seat. A user thus waits neither for the many tasks of another that are
before its own in the queue, nor for a slow page of another. Nothing of this is stored.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Protocol, Self

import structlog

from libs.errors import ExpectedError
from libs.jobstate.job import Job
from libs.jobstate.lease import LeaseLost
from libs.jobstate.turns import Turns
from libs.storage import layout
from libs.storage.errors import StorageError
from libs.storage.session import SessionFiles, indexed_session
from libs.storage.store import ObjectStore, Stat

log = structlog.get_logger()

#: A guest works at least so many seconds, though the call that hosts it is over. Chosen: each piece of work opens the
#: document or claims its batches anew, so shorter pieces would spend most of their time on that.
LEAST_SECONDS = 2.0
#: A job that has nothing to do here is looked at again after this share of the time since it last requested a slice,
#: and after `LONGEST` at most. Chosen: soon after an upload, and rarely while a job waits for its other stage.
AGAIN_SHARE = 0.25
LONGEST = timedelta(seconds=5)
#: For so many seconds after its own work a call that waits for its guests seats further ones. Chosen: longer than most
#: pages, since meanwhile the queue may deliver no other task; and bounded, since a call has a deadline.
LINGER_SECONDS = 60.0


def account(files: SessionFiles) -> str:
    """Whose turn a job uses: its user's. Served by job, a user with many jobs would get as many shares."""
    return files.user_hash


class Seat:
    """A user's place in the process, for one piece of work."""

    def __init__(self, turns: Turns, user: str, *, guest: bool, waited: float, ends: Callable[[], bool]) -> None:
        self._turns = turns
        self._user = user
        #: Whether it is an extra seat, beside those of the calls.
        self.guest = guest
        self._ends = ends
        self._clock = asyncio.get_running_loop().time
        self._began = self._clock()
        #: For how many seconds the task of the call that gives the seat was in the queue after it was due.
        self.waited = waited

    def charge(self, seconds: float) -> None:
        """The work has used the engine or a renderer for so long."""
        self._turns.charge(self._user, seconds)

    @property
    def must_yield(self) -> bool:
        """Whether to end the work at the next page: another user's turn has come, or the hosting call is over."""
        if self._turns.is_behind(self._user):
            return True
        return self._ends() and self._clock() - self._began > LEAST_SECONDS


class Stage(Protocol):
    """The work that a service does on jobs, as its neighbours are served with it."""

    @property
    def faults(self) -> tuple[type[Exception], ...]:
        """What ends a piece of work and is no bug, beside an `ExpectedError` and a lost lease."""
        ...

    @property
    def fatal(self) -> tuple[type[Exception], ...]:
        """What has to end the process."""
        ...

    async def find(self, files: SessionFiles) -> Job | None:
        """The job, if it has work of this stage that no process holds. Raises `StorageError`, `TornObject`."""
        ...

    async def serve(self, files: SessionFiles, job: Job, seat: Seat) -> None:
        """Do a piece of that work, until it is done or the seat must yield.

        It enqueues no successor: the job's own tasks are in the queue.
        """
        ...


class Neighbours:
    """The active jobs of all users, as one process looks at them for one stage."""

    def __init__(self, store: ObjectStore, stage: Stage, *, extra_seats: int, look_seconds: float) -> None:
        """The index is listed every `look_seconds` while a call is at work."""
        self._store = store
        self._look_seconds = look_seconds
        self._looked_at: float | None = None
        self._listed_at = datetime.min.replace(tzinfo=UTC)
        self._quiet: dict[str, tuple[datetime, datetime]] = {}
        self._stage = stage
        self.turns = Turns(extra_seats)

    def host(self, own: SessionFiles, waited: float) -> "Host":
        """For the call of a task of the job `own`, which was in the queue `waited` seconds after it was due."""
        return Host(self, account(own), waited, self._look_seconds)

    def is_due(self) -> bool:
        """Whether to look again now: several calls of the process share their looks."""
        now = asyncio.get_running_loop().time()
        if self._looked_at is not None and now < self._looked_at + self._look_seconds:
            return False
        self._looked_at = now
        return True

    async def waiting(self) -> list[tuple[SessionFiles, Stat]]:
        """The active jobs of users without a seat, except those just seen with nothing to do: least use first."""
        self._listed_at = now = await self._store.now()
        listed = [stat async for stat in self._store.list(layout.ACTIVE)]
        self._quiet = {stat.path: known for stat in listed if (known := self._quiet.get(stat.path))}
        found: list[tuple[SessionFiles, Stat]] = []
        for stat in listed:
            since, until = self._quiet.get(stat.path, (None, now))
            if since == stat.updated_at and until > now:
                continue
            try:
                files = indexed_session(self._store, stat.path)
            except ValueError:  # an object whose name is not of the index; the sweep reports it
                continue
            if not self.turns.has_seat(account(files)):
                found.append((files, stat))
        # A session id begins with its time: of users with the same use the one who has waited longest comes first.
        oldest: dict[str, str] = {}
        for files, _ in found:
            oldest.setdefault(account(files), files.session_id)
        return sorted(found, key=lambda one: (self.turns.used(user := account(one[0])), oldest[user]))

    async def find(self, files: SessionFiles, stat: Stat) -> Job | None:
        """The job, if it has free work."""
        try:
            if (job := await self._stage.find(files)) is not None:
                return job
        except (StorageError, ValueError):
            pass  # being uploaded, deleted or damaged: its own tasks and the sweep see to it
        pause = min(LONGEST, AGAIN_SHARE * (self._listed_at - stat.updated_at))
        self._quiet[stat.path] = stat.updated_at, self._listed_at + pause
        return None

    async def serve(self, files: SessionFiles, job: Job, seat: Seat) -> None:
        """Let the stage do a piece of work. What it meets must not fail the call, which is another user's.

        Raises only what has to end the process.
        """
        known: tuple[type[Exception], ...] = (ExpectedError, LeaseLost, *self._stage.faults)
        try:
            await self._stage.serve(files, job, seat)
        except self._stage.fatal:
            raise
        except known as error:
            log.warning("guest_left", job_id=files.session_id, error=type(error).__name__)
        except Exception:  # any bug that this job meets
            log.exception("guest_failed", job_id=files.session_id)


class Host:
    """A call of the process. It takes a seat for its own user, and gives extra seats to guests: users who have none.

    Its context ends when the guests have ended their pieces of work. Until then the call's own seat is lent to a guest.
    """

    def __init__(self, neighbours: Neighbours, own: str, waited: float, look_seconds: float) -> None:
        self._neighbours = neighbours
        self._turns = neighbours.turns
        self._own = own
        self._waited = waited
        self._look_seconds = look_seconds
        self._clock = asyncio.get_running_loop().time
        self._over = False
        self._guests: set[asyncio.Task[None]] = set()
        self._faults: list[BaseException] = []
        self._looking: asyncio.Task[None] | None = None
        #: The seat of the call's own user.
        self.seat = self._seat(own, guest=False)

    async def __aenter__(self) -> Self:
        self._turns.sit(self._own)
        self._looking = asyncio.create_task(self._look_around())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        self._turns.leave(self._own)
        self._turns.extra_seats += 1
        try:
            until = self._clock() + LINGER_SECONDS
            while error is None and self._guests and (left := until - self._clock()) > 0:
                await asyncio.wait(self._guests, timeout=left)
        finally:
            self._turns.extra_seats -= 1
            await self._end(cancelled=isinstance(error, asyncio.CancelledError))
        for fault in self._faults:  # whatever the call itself met: it has to end the process
            raise fault from error

    async def gives_way(self) -> bool:
        """Serve another user in place of the call's own, if it is that user's turn and no extra seat is left; whether
        it did."""
        turns, own = self._turns, self._own
        if turns.has_extra_seat:
            return False
        for files, stat in await self._candidates():
            user = account(files)
            if turns.used(user) >= turns.used(own):
                return False
            job = await self._neighbours.find(files, stat)
            if job is None or turns.has_seat(user):
                continue
            turns.leave(own)
            turns.sit(user)
            try:
                await self._neighbours.serve(files, job, self._seat(user, guest=False))
            finally:
                turns.leave(user)
                turns.sit(own)
            return True
        return False

    def _seat(self, user: str, *, guest: bool) -> Seat:
        return Seat(self._turns, user, guest=guest, waited=self._waited, ends=lambda: guest and self._over)

    async def _look_around(self) -> None:
        while True:
            if self._neighbours.is_due():
                try:
                    await self._offer_seats()
                except Exception:  # any bug: later looks of this call may succeed, and others wait for them
                    log.exception("look_failed")
            await asyncio.sleep(self._look_seconds)

    async def _offer_seats(self) -> None:
        """Seat users who wait for a turn, and note the first for whom no seat is left."""
        turns = self._turns
        for files, stat in await self._candidates():
            user = account(files)
            job = None if turns.has_seat(user) else await self._neighbours.find(files, stat)
            if job is None or turns.has_seat(user):
                continue
            if not turns.has_extra_seat:
                turns.waiting = user
                return
            turns.sit(user, guest=True)
            guest = asyncio.create_task(self._serve(files, job))
            self._guests.add(guest)
            guest.add_done_callback(partial(self._left, user))
        turns.waiting = None

    async def _serve(self, files: SessionFiles, job: Job) -> None:
        """A guest's piece of work."""
        log.info("guest_seated", job_id=files.session_id)
        try:
            await self._neighbours.serve(files, job, self._seat(account(files), guest=True))
        except Exception as fault:
            self._faults.append(fault)

    def _left(self, user: str, guest: "asyncio.Task[None]") -> None:
        self._guests.discard(guest)
        self._turns.leave(user, guest=True)

    async def _candidates(self) -> list[tuple[SessionFiles, Stat]]:
        try:
            return await self._neighbours.waiting()
        except StorageError:
            return []  # the next look follows soon

    async def _end(self, *, cancelled: bool) -> None:
        """Look no more, and wait for the guests; where the call is cancelled, they are."""
        assert self._looking is not None
        self._looking.cancel()
        ending = {self._looking, *self._guests}
        try:
            if cancelled:
                raise asyncio.CancelledError
            await asyncio.wait(ending)
        except asyncio.CancelledError:
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)
            if not cancelled:
                raise
