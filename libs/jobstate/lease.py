"""Leases: the claim on a batch, on the extraction, on the combining. One object each under `batches/`.

A lease is created only if absent, or taken over by generation once it has expired by the storage's own clock.
Its holder writes it by generation too, so a holder that was overtaken notices at its next write.
"""

import asyncio
import secrets
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from libs.codec import Codec, TornObject
from libs.jobstate.outcome import BriefOutcome
from libs.storage.errors import NotFound, PreconditionFailed
from libs.storage.pace import write_paced
from libs.storage.session import SessionFiles
from libs.storage.store import Stat, Stored


class LeaseState(StrEnum):
    """What became of the claim."""

    HELD = "held"  # its holder works on it, or died: then it expires
    RELEASED = "released"  # given back unfinished: anybody may take it at once
    FINISHED = "finished"  # its pages have outcomes


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A lease as stored. It expires `seconds` after its last write; `claim` is new with every holder.

    `in_hand` names the pages being read at the last write; `attempt` is one more than the deaths of holders and
    engines in this run; `deaths` counts for each page the breakdowns with that page alone in hand. `waited` is for how
    many seconds the holder's task was in the queue after it was due.
    """

    name: str
    run: int
    holder: str
    claim: str
    state: LeaseState = LeaseState.HELD
    attempt: int = 1
    seconds: float
    taken_at: datetime
    pages: tuple[int, ...] = ()
    waited: float = 0.0
    in_hand: tuple[int, ...] = ()
    deaths: dict[int, int] = {}
    outcomes: dict[int, BriefOutcome] = {}

    @property
    def suspicious(self) -> bool:
        """Whether a holder or its engine died: pages are then read one at a time to find the one that kills."""
        return self.attempt > 1


class LeaseLost(Exception):
    """Somebody else took the lease over: stop, whatever was in hand is theirs now."""


class TornLease(TornObject):
    """The stored lease cannot be decoded."""


_codec = Codec(Lease, TornLease)
encode, decode = _codec.encode, _codec.decode


class HeldLease:
    """A lease in our hands; each method writes it and raises `LeaseLost` when it is no longer ours."""

    def __init__(self, files: SessionFiles, lease: Lease, generation: int) -> None:
        self._files = files
        self._generation = generation
        self._written_at = asyncio.get_running_loop().time()
        self._writing = asyncio.Lock()  # a renewal and a finish must not race for the generation
        self.lease = lease

    async def renew(self, in_hand: Iterable[int] = ()) -> None:
        """Extend the lease and name the pages being read."""
        await self._write(in_hand=tuple(in_hand))

    async def finish(self, outcomes: dict[int, BriefOutcome]) -> None:
        """Every page has its outcome."""
        await self._write(state=LeaseState.FINISHED, in_hand=(), outcomes=outcomes)

    async def release(self, outcomes: dict[int, BriefOutcome] | None = None) -> None:
        """Give the lease back unfinished, in good order; `outcomes` are those of the pages that were read."""
        await self._write(state=LeaseState.RELEASED, in_hand=(), outcomes=outcomes or {})

    async def break_off(self, guilty: int | None) -> None:
        """Give the lease back because the engine broke down, on page `guilty` if it was alone in hand."""
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
                    # A write of our own whose answer was lost, or whose wait was cancelled, is no rival's.
                    standing, self._generation = await _still_ours(self._files, lease, error)
                    if standing == lease:
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

    `absent`: the caller has just seen that there is none, which spares a look.
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
            # Whose it was nobody can tell. It may be held: then its holder finds out once it has expired.
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


async def _stored(files: SessionFiles, name: str) -> Stored | None:
    with suppress(NotFound):
        return await files.store.read(files.lease_path(name))
    return None


def is_free(lease: Lease, stored: Stored | Stat, run: int, now: datetime) -> bool:
    """Whether anybody may take the lease over, judged by the storage's clock alone."""
    if lease.run != run:
        return lease.run < run
    if lease.state is LeaseState.FINISHED:
        return False
    return lease.state is LeaseState.RELEASED or _is_expired(stored, lease.seconds, now)


def _is_expired(stored: Stored | Stat, seconds: float, now: datetime) -> bool:
    return stored.updated_at + timedelta(seconds=seconds) < now


def _after(before: Lease, fresh: Lease) -> Lease:
    """The lease of the next holder: what earlier holders of this run died on is carried along."""
    if before.run != fresh.run:
        return fresh
    deaths = dict(before.deaths)
    # Only a suspicious lease names its page before the page is read; other names may be a renewal old.
    if before.state is LeaseState.HELD and before.suspicious and len(before.in_hand) == 1:
        guilty = before.in_hand[0]
        deaths[guilty] = deaths.get(guilty, 0) + 1
    # A lease given back in good order says nothing against its pages.
    died = before.state is LeaseState.HELD
    return msgspec.structs.replace(fresh, attempt=before.attempt + died, deaths=deaths)


async def _still_ours(files: SessionFiles, lease: Lease, error: PreconditionFailed) -> tuple[Lease, int]:
    """The stored lease and its generation when it carries our claim, else `LeaseLost`."""
    try:
        stored = await files.store.read(files.lease_path(lease.name))
        standing = decode(stored.data)
    except (NotFound, TornLease):
        raise LeaseLost(lease.name) from error
    if standing.claim != lease.claim:
        raise LeaseLost(lease.name) from error
    return standing, stored.generation
