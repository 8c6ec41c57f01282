"""A job's evidence, which its record is merged from: outcomes and leases."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from itertools import islice

import msgspec

from libs.fanout import REQUESTS_AT_ONCE, fan_out
from libs.jobstate import lease, outcome, plan
from libs.jobstate.job import Job
from libs.jobstate.lease import Lease, LeaseState, TornLease
from libs.jobstate.outcome import BriefOutcome, OutcomeStatus, PageOutcome, TornOutcome
from libs.storage.errors import NotFound, PreconditionFailed
from libs.storage.pace import write_paced
from libs.storage.session import SessionFiles
from libs.storage.store import Stat


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of pages beside the record."""

    #: Since when pages are held by a worker.
    started: dict[int, datetime]
    outcomes: dict[int, BriefOutcome]

    def merged(self, job: Job, at: datetime) -> Job:
        """The record with this evidence in it."""
        return job.started(self.started, at).settled(self.outcomes, at)


class Leases:
    """The leases of a job, read by one call: a lease is read again only when its generation has changed."""

    def __init__(self, files: SessionFiles) -> None:
        self._files = files
        self._known: dict[str, tuple[int, Lease]] = {}

    async def listed(self) -> dict[str, Stat]:
        """The stored leases' objects, by the leases' names."""
        prefix = self._files.leases_prefix
        return {
            stat.path.removeprefix(prefix).removesuffix(".json"): stat async for stat in self._files.store.list(prefix)
        }

    async def read(self, stats: Mapping[str, Stat]) -> dict[str, Lease]:
        """These leases, without those that are torn or deleted by now."""

        async def read(name: str) -> None:
            with suppress(NotFound, TornLease):
                stored = await self._files.store.read(stats[name].path)
                self._known[name] = stored.generation, lease.decode(stored.data)

        if stale := [name for name, stat in stats.items() if not self._is_known(name, stat)]:
            await fan_out(read, stale)
        return {name: self._known[name][1] for name in stats if name in self._known}

    def _is_known(self, name: str, stat: Stat) -> bool:
        return name in self._known and self._known[name][0] == stat.generation


async def read_evidence(leases: Leases, job: Job, listed: Mapping[str, Stat]) -> Evidence:
    """The evidence in the leases of the batches that the record does not show as ended.

    `listed` are the leases that exist.
    """
    names = [b.name for b in plan.open_batches(job)]
    started: dict[int, datetime] = {}
    outcomes: dict[int, BriefOutcome] = {}
    for held in (await leases.read({name: listed[name] for name in names if name in listed})).values():
        if held.run != job.run:
            continue
        if held.state is LeaseState.HELD:
            started |= dict.fromkeys(held.pages, held.taken_at)
        outcomes |= held.outcomes
    return Evidence(started=started, outcomes=outcomes)


async def read_versioned(files: SessionFiles, page_no: int) -> tuple[PageOutcome | None, int]:
    """The stored outcome of a page, or a retry's marker, and the generation over which to write a new one.

    A torn one counts as none: the page is read again.
    """
    try:
        stored = await files.store.read(files.page_outcome_path(page_no))
    except NotFound:
        return None, 0
    return _whole(stored.data), stored.generation


async def read_outcome(files: SessionFiles, page_no: int) -> PageOutcome | None:
    """The outcome of a page, if it has one."""
    found, _ = await read_versioned(files, page_no)
    return None if found is None or found.status is OutcomeStatus.PENDING else found


async def require_readable_outcome(files: SessionFiles, page_no: int) -> PageOutcome | None:
    """The outcome, for a client. Raises `TornOutcome`: the client must not wait for a result that is damaged."""
    try:
        stored = await files.store.read(files.page_outcome_path(page_no))
    except NotFound:
        return None
    found = outcome.decode(stored.data)
    return None if found.status is OutcomeStatus.PENDING else found


async def read_reading(files: SessionFiles, result: PageOutcome, run: int) -> PageOutcome | None:
    """What was read in `run` on the page whose outcome is `result`, or why it failed then; `None` where it was not.

    Raises `TornOutcome`.
    """
    if result.reading_run == run:
        return result
    if (failure := result.failed_in(run)) is not None:
        return failure
    try:
        stored = await files.store.read(files.page_reading_path(result.page_no, run))
    except NotFound:
        return None
    return outcome.decode(stored.data)


async def read_outcomes(files: SessionFiles, pages: Iterable[int]) -> dict[int, PageOutcome]:
    """The outcomes that exist among these pages."""
    stored = (found for found, _ in (await read_all_versioned(files, pages)).values())
    return {found.page_no: found for found in stored if found and found.status is not OutcomeStatus.PENDING}


async def read_in_order(
    files: SessionFiles, pages: Iterable[int]
) -> AsyncGenerator[tuple[int, PageOutcome | None], None]:
    """The pages' outcomes in order, each if it exists; at most `REQUESTS_AT_ONCE` are read ahead, and held."""
    numbers = iter(pages)
    reading: deque[tuple[int, asyncio.Task[PageOutcome | None]]] = deque()
    try:
        while True:
            for page_no in islice(numbers, REQUESTS_AT_ONCE - len(reading)):
                reading.append((page_no, asyncio.create_task(read_outcome(files, page_no))))
            if not reading:
                return
            page_no, outcome = reading.popleft()
            yield page_no, await outcome
    finally:
        for _, outcome in reading:
            outcome.cancel()
        await asyncio.gather(*(outcome for _, outcome in reading), return_exceptions=True)


async def read_all_versioned(files: SessionFiles, pages: Iterable[int]) -> dict[int, tuple[PageOutcome | None, int]]:
    """`read_versioned` of each page, several at a time."""
    numbers = list(pages)
    return dict(zip(numbers, await fan_out(partial(read_versioned, files), numbers), strict=True))


async def save_outcome(files: SessionFiles, result: PageOutcome, generation: int) -> PageOutcome:
    """Save the outcome, then its text file. If the page has an outcome of its run or a later one, that one is kept.

    `generation` is that of the stored outcome as the caller has seen it, 0 for none. A reading that is replaced is kept
    beside it, and a failure does not replace a reading: see `PageOutcome.over`. Returns the outcome that is stored.
    Raises `PreconditionFailed` when a retry has begun a later run, and `TornOutcome`, before anything is saved, where
    `result` could not be decoded again.
    """
    path = files.page_outcome_path(result.page_no)
    merged, data = result, outcome.encode(result)
    while True:
        if generation:
            stored = await files.store.read(path)
            generation, before = stored.generation, _whole(stored.data)
            if before is not None and before.due_run > result.run and _is_mark(before):
                raise PreconditionFailed(path, "a retry has begun a later run: this outcome is too late")
            if before is not None and before.run >= result.run and before.status is not OutcomeStatus.PENDING:
                merged = before
                break
            # Else torn, of an earlier run, or this run's mark: none is this run's outcome.
            merged = result.over(before)
            data = outcome.encode(merged)
            if before is not None and before.status is OutcomeStatus.COMPLETED and not merged.read_in:
                await _keep(files, before)
        try:
            await write_paced(files.store, path, data, if_generation=generation)
            break
        except PreconditionFailed:
            generation = generation or -1  # something is stored by now: it is looked at
    await derive_text(files, merged)
    return merged


def _is_mark(found: PageOutcome) -> bool:
    return found.again is not None or found.status is OutcomeStatus.PENDING


async def _keep(files: SessionFiles, before: PageOutcome) -> None:
    """Keep a reading that is about to be replaced. It never changes, so one that is kept already is the same."""
    path = files.page_reading_path(before.page_no, before.reading_run)
    with suppress(PreconditionFailed):
        await write_paced(files.store, path, outcome.encode(before.alone()), if_generation=0)


async def derive_text(files: SessionFiles, result: PageOutcome) -> None:
    """Write the text file of a stored outcome: over that of an earlier reading, never over that of a later one."""
    if result.status is not OutcomeStatus.COMPLETED:
        return
    path, text = files.page_result_path(result.page_no), result.text.encode()
    generation = 0
    with suppress(NotFound):  # the job was deleted
        while True:
            try:
                await write_paced(files.store, path, text, if_generation=generation)
                return
            except PreconditionFailed:
                stored = await files.store.read(path)
                if stored.data == text or not await _is_stored(files, result):
                    return
                generation = stored.generation


async def _is_stored(files: SessionFiles, result: PageOutcome) -> bool:
    """Whether this reading is still the page's result."""
    found = await read_outcome(files, result.page_no)
    return found is not None and (found.reading_run, found.text) == (result.reading_run, result.text)


def _whole(data: bytes) -> PageOutcome | None:
    try:
        return outcome.decode(data)
    except TornOutcome:
        return None
