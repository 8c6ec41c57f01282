"""What one user may use: stored bytes, pages a day, requests a minute.

The tallies are in the memory of the process and cost no writes. What a user has stored is counted by listing it, at
most once in `RECOUNT_SECONDS` and only when the user uploads; in between what is announced is added. So a tally that
drifts (other processes, page images, uploads that fail) is repaired by the next count, and a restart loses nothing.
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from libs.storage import layout
from libs.storage.store import ObjectStore
from services.serving.problem import Problem

#: Seconds after which what a user has stored is counted again. Chosen: a count of 10,000 objects of a bucket costs as
#: much as ten writes.
RECOUNT_SECONDS = 300.0
#: Seconds after which it is counted again once the user has deleted something. Chosen: soon for a person making room.
RECOUNT_AFTER_DELETION_SECONDS = 10.0
#: The period of `pages_a_day`.
DAY = timedelta(days=1)
#: Users whose tallies are kept. Chosen: some megabytes; who is dropped is counted anew.
MOST_USERS = 10_000


class Quotas(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of each user; 0: none."""

    stored_bytes: int = 0
    pages_a_day: int = 0
    requests_a_minute: int = 0


class Rates:
    """The requests of each user: a bucket of a minute's tokens, which fill evenly."""

    def __init__(self, requests_a_minute: int) -> None:
        self._most = requests_a_minute
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, user: str) -> None:
        """Count a request. Raises `Problem` 429 where the user has made too many."""
        if not self._most:
            return
        now = asyncio.get_running_loop().time()
        left, at = self._left.pop(user, (float(self._most), now))
        left = min(self._most, left + (now - at) * self._most / 60)
        refused = left < 1
        self._left[user] = (left if refused else left - 1), now
        if len(self._left) > MOST_USERS:
            self._left.popitem(last=False)
        if refused:
            raise Problem(
                429,
                "Too many requests",
                f"You may make {self._most} requests a minute.",
                "Wait as Retry-After says, and ask less often: a status answers 304 cheaply, but counts.",
                headers={"Retry-After": str(math.ceil((1 - left) * 60 / self._most))},
            )


class _Tally(msgspec.Struct, kw_only=True):
    """What a user has used, by the last count and what was added since."""

    bytes: int
    #: When each page of the last day was read that is still stored, ascending.
    read_at: list[datetime]
    counted_at: float
    #: Whether the user has deleted something since.
    stale: bool = False


class Usage:
    """What each user has stored, and has had read within a day."""

    def __init__(self, store: ObjectStore, quotas: Quotas) -> None:
        self._store = store
        self._quotas = quotas
        self._tallies: OrderedDict[str, _Tally] = OrderedDict()
        self._deleted: OrderedDict[str, list[datetime]] = OrderedDict()

    async def admit(self, user_hash: str, size: int = 0) -> None:
        """Count an upload, of `size` bytes as far as they are announced. Raises `Problem` 507, 429, `StorageError`."""
        quotas = self._quotas
        if not (quotas.stored_bytes or quotas.pages_a_day):
            return
        now = await self._store.now()
        tally = await self._tally(user_hash)
        # Nothing is waited for from here on, so that of two calls the later one sees what the earlier one has added.
        if quotas.stored_bytes and tally.bytes + max(size, 1) > quotas.stored_bytes:
            raise Problem(
                507,
                "Storage quota reached",
                f"You have {tally.bytes:,} bytes stored, and may have {quotas.stored_bytes:,} with this file.",
                "Delete jobs that you no longer need, then try again.",
            )
        read_at = [at for at in (*tally.read_at, *self._deleted.get(user_hash, ())) if at > now - DAY]
        if quotas.pages_a_day and len(read_at) >= quotas.pages_a_day:
            wait = min(read_at) + DAY - now
            raise Problem(
                429,
                "Page quota reached",
                f"{len(read_at):,} of your pages were read within a day, and {quotas.pages_a_day:,} may be.",
                "Go on when Retry-After says.",
                headers={"Retry-After": str(math.ceil(wait.total_seconds()) + 1)},
            )
        tally.bytes += size

    def deleted(self, user_hash: str, read_at: Sequence[datetime] = ()) -> None:
        """A job or upload of the user was deleted. Its pages, read at these times, still count for their day."""
        if (tally := self._tallies.get(user_hash)) is not None:
            tally.stale = True
        if self._quotas.pages_a_day and read_at:
            kept = self._deleted.pop(user_hash, [])
            self._deleted[user_hash] = sorted([*kept, *read_at])[-self._quotas.pages_a_day :]
            if len(self._deleted) > MOST_USERS:
                self._deleted.popitem(last=False)

    async def _tally(self, user_hash: str) -> _Tally:
        clock = asyncio.get_running_loop().time()
        known = self._tallies.get(user_hash)
        after = RECOUNT_AFTER_DELETION_SECONDS if known is not None and known.stale else RECOUNT_SECONDS
        if known is None or clock > known.counted_at + after:
            counted = await self._count(user_hash, clock)
            # Where another call has counted meanwhile, its tally has what was added since.
            now_known = self._tallies.get(user_hash)
            known = counted if now_known is None or now_known is known else now_known
            self._tallies[user_hash] = known
        self._tallies.move_to_end(user_hash)
        if len(self._tallies) > MOST_USERS:
            self._tallies.popitem(last=False)
        return known

    async def _count(self, user_hash: str, clock: float) -> _Tally:
        size, read_at, since = 0, [], await self._store.now() - DAY
        async for stat in self._store.list(layout.user_prefix(user_hash)):
            size += stat.size
            if stat.updated_at > since and _is_reading(stat.path, since):
                read_at.append(stat.updated_at)
        async for stat in self._store.list(layout.files_prefix(user_hash)):
            size += stat.size
        return _Tally(bytes=size, read_at=sorted(read_at), counted_at=clock)


def _is_reading(path: str, since: datetime) -> bool:
    """Whether the object counts as a page that was read.

    A reading that a later one has replaced counts in a job that was made after `since`; in an older one it may be from
    before, and the page counts once.
    """
    if path.endswith("_result.json"):
        return True
    folder, _, name = path.rpartition("/")
    session_id = folder.rpartition("/")[2]
    if not layout.is_earlier_reading(name) or not layout.is_session_id(session_id):
        return False
    return layout.created_at(session_id) > since
