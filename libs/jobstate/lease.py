"""Leases: the claim on a batch, on the extraction or on the combining. Each is one object under `batches/`.

A lease is created only if absent, or taken over by generation once it has expired by the storage's own clock. Its
holder writes it by generation too, so a holder that has lost it notices at its next write.
"""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec
import structlog

from libs.codec import Codec, TornObject
from libs.jobstate.outcome import BriefOutcome
from libs.storage.errors import NotFound, PreconditionFailed, StorageError
from libs.storage.pace import write_paced
from libs.storage.session import SessionFiles
from libs.storage.store import Stat, Stored

log = structlog.get_logger()

#: A lease is renewed this often within the time for which it lasts. Chosen: two renewals may fail before it expires.
RENEWALS = 4


def new_holder() -> str:
    """The name of this process as a lease's holder: host, process id, random digits."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


class LeaseState(StrEnum):
    """The state of a claim."""

    #: Its holder works on it, or has died: then the lease expires.
    HELD = "held"
    #: Given back unfinished: any worker may take it at once.
    RELEASED = "released"
    #: Its pages have outcomes.
    FINISHED = "finished"


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A lease as stored."""

    name: str
    run: int
    #: The process that holds it.
    holder: str
    #: A random mark, new with every holder.
    claim: str
    state: LeaseState = LeaseState.HELD
    #: One more than the deaths of holders and engines in this run.
    attempt: int = 1
    #: After its last write the lease expires in so many seconds.
    seconds: float
    taken_at: datetime
    #: The pages of the batch.
    pages: tuple[int, ...] = ()
    #: For how many seconds the holder's task was in the queue after it was due.
    waited: float = 0.0
    #: The pages that were being read at the last write.
    in_hand: tuple[int, ...] = ()
    #: For each page, the breakdowns with that page alone in hand.
    deaths: dict[int, int] = {}
    #: Of a finished or released batch.
    outcomes: dict[int, BriefOutcome] = {}

    @property
    def suspicious(self) -> bool:
        """Whether a holder or its engine has died: pages are then read one at a time, to find the one that kills."""
        return self.attempt > 1


class LeaseLost(Exception):
    """Another process took the lease over: stop, since the pages in hand are its to read now."""


class TornLease(TornObject):
    """The stored lease cannot be decoded."""


_codec = Codec(Lease, TornLease)
encode, decode = _codec.encode, _codec.decode


class HeldLease:
    """A lease that this process holds. Each method writes it, and raises `LeaseLost` once another has taken it over."""

    def __init__(self, files: SessionFiles, lease: Lease, generation: int) -> None:
        self._files = files
        self._generation = generation
        self._written_at = asyncio.get_running_loop().time()
        self._writing = asyncio.Lock()  # a renewal and a finish must not race for the generation
        #: As last written.
        self.lease = lease

    async def renew(self, in_hand: Iterable[int] = ()) -> None:
        """Extend the lease and name the pages being read."""
        await self._write(in_hand=tuple(in_hand))

    async def renew_if_due(self, in_hand: Iterable[int] = ()) -> bool:
        """Renew the lease if it was last written long enough ago; whether it did. For a holder whose work gets on."""
        if asyncio.get_running_loop().time() - self._written_at <= self.pause:
            return False
        await self.renew(in_hand)
        return True

    async def renew_if_expired(self) -> None:
        """Renew a lease that has expired by this process's own clock, as after it was suspended: another worker may
        have taken it over."""
        if asyncio.get_running_loop().time() - self._written_at > self.lease.seconds:
            await self.renew(self.lease.in_hand)

    @property
    def pause(self) -> float:
        """Seconds between two renewals."""
        return self.lease.seconds / RENEWALS

    async def finish(self, outcomes: dict[int, BriefOutcome]) -> None:
        """Every page has its outcome."""
        await self._write(state=LeaseState.FINISHED, in_hand=(), outcomes=outcomes)

    async def release(self, outcomes: dict[int, BriefOutcome] | None = None) -> None:
        """Give the lease back unfinished, for no fault of its pages; `outcomes` are of the pages that were read."""
        await self._write(state=LeaseState.RELEASED, in_hand=(), outcomes=outcomes or {})

    async def break_off(self, guilty: int | None) -> None:
        """Give the lease back because the engine broke down; `guilty` is the page that was alone in hand, if any."""
        deaths = dict(self.lease.deaths)
        if guilty is not None:
            deaths[guilty] = deaths.get(guilty, 0) + 1
        await self._write(state=LeaseState.RELEASED, in_hand=(), deaths=deaths, attempt=self.lease.attempt + 1)

    async def _write(self, **changes: object) -> None:
        async with self._writing:
            lease = msgspec.structs.replace(self.lease, **changes)
            while True:
                try:
                    # A suspicious batch names each page before it is read: more than one write a second.
                    self._generation = await write_paced(
                        self._files.store,
                        self._files.lease_path(lease.name),
                        encode(lease),
                        if_generation=self._generation,
                        written_at=self._written_at,
                    )
                    self._written_at = asyncio.get_running_loop().time()
                    break
                except PreconditionFailed as error:
                    # The other writer may be ourselves: an answer was lost, or the wait for it was cancelled.
                    stored, self._generation = await _still_ours(self._files, lease, error)
                    if stored == lease:
                        break
            self.lease = lease


async def take(
    files: SessionFiles,
    name: str,
    *,
    run: int,
    holder: str,
    seconds: float,
    pages: tuple[int, ...] = (),
    waited: float = 0.0,
    absent: bool = False,
) -> HeldLease | None:
    """Claim `name`, or return `None` when it is held, or finished in this run.

    `absent`: the caller has just seen that there is no such lease, which saves a read.
    """
    fresh = Lease(
        name=name,
        run=run,
        holder=holder,
        claim=secrets.token_hex(8),
        seconds=seconds,
        taken_at=await files.store.now(),
        pages=pages,
        waited=waited,
    )
    generation = 0
    if (stored := None if absent else await _stored(files, name)) is not None:
        generation = stored.generation
        try:
            before = decode(stored.data)
        except TornLease:
            # It may be held: then its holder notices at its next write that it was taken over.
            if not _is_expired(stored, seconds, fresh.taken_at):
                return None
        else:
            if not is_free(before, stored, run, fresh.taken_at):
                return None
            fresh = _after(before, fresh)
    try:
        generation = await write_paced(files.store, files.lease_path(name), encode(fresh), if_generation=generation)
    except PreconditionFailed as error:
        try:
            _, generation = await _still_ours(files, fresh, error)
        except LeaseLost:
            return None
    return HeldLease(files, fresh, generation)


@asynccontextmanager
async def renewed(held: HeldLease) -> AsyncIterator[None]:
    """Renew the lease while the body runs: for work whose own time-outs guarantee that it gets on."""
    done = asyncio.Event()

    async def renew() -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), held.pause)
            if done.is_set():
                return
            try:
                await held.renew()
            except LeaseLost:
                return  # the holder notices at its next write
            except StorageError as error:
                log.warning("lease_renewal_failed", error=type(error).__name__)

    task = asyncio.create_task(renew())
    try:
        yield
    finally:
        done.set()
        await task


async def is_held(files: SessionFiles, name: str, run: int) -> bool:
    """Whether `name` cannot be claimed now: a process holds it, or it is finished in this run. A torn one counts as
    held, since its holder may be at work."""
    stored = await _stored(files, name)
    if stored is None:
        return False
    try:
        return not is_free(decode(stored.data), stored, run, await files.store.now())
    except TornLease:
        return True


async def _stored(files: SessionFiles, name: str) -> Stored | None:
    with suppress(NotFound):
        return await files.store.read(files.lease_path(name))
    return None


def is_free(lease: Lease, stored: Stored | Stat, run: int, now: datetime) -> bool:
    """Whether any worker may take the lease over, judged by the storage's clock alone."""
    if lease.run != run:
        return lease.run < run
    if lease.state is LeaseState.FINISHED:
        return False
    return lease.state is LeaseState.RELEASED or _is_expired(stored, lease.seconds, now)


def _is_expired(stored: Stored | Stat, seconds: float, now: datetime) -> bool:
    return stored.updated_at + timedelta(seconds=seconds) < now


def _after(before: Lease, fresh: Lease) -> Lease:
    """The lease of the next holder, with the deaths of earlier holders in this run."""
    if before.run != fresh.run:
        return fresh
    deaths = dict(before.deaths)
    # Only a suspicious lease names its page before the page is read; other leases name pages at renewals.
    if before.state is LeaseState.HELD and before.suspicious and len(before.in_hand) == 1:
        guilty = before.in_hand[0]
        deaths[guilty] = deaths.get(guilty, 0) + 1
    # A released lease is no evidence against its pages.
    died = before.state is LeaseState.HELD
    return msgspec.structs.replace(fresh, attempt=before.attempt + died, deaths=deaths)


async def _still_ours(files: SessionFiles, lease: Lease, error: PreconditionFailed) -> tuple[Lease, int]:
    """The stored lease and its generation when it carries our claim, else `LeaseLost`."""
    try:
        stored = await files.store.read(files.lease_path(lease.name))
        current = decode(stored.data)
    except (NotFound, TornLease):
        raise LeaseLost(lease.name) from error
    if current.claim != lease.claim:
        raise LeaseLost(lease.name) from error
    return current, stored.generation
