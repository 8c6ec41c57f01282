"""`python -m tests.simulation.mutants`: bugs planted in the protocol, and the seed that catches each.

A mutant that no seed catches says that the checker is blind there. Each replaces one rule of the real code while a
seed runs; the files are not touched.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

import msgspec

from libs.jobstate import active, ending, evidence, lease, neighbours, password, rebuild
from libs.jobstate.commit import load
from libs.jobstate.intake import PageOptions
from libs.jobstate.job import Job
from libs.jobstate.lease import HeldLease, Lease, LeaseLost
from libs.jobstate.notice import Attempt, DeliveryState
from libs.jobstate.outcome import PageOutcome
from libs.jobstate.page import Page, PageStatus
from libs.storage import layout
from libs.storage.pace import write_paced
from libs.storage.session import SessionFiles
from libs.storage.store import ObjectStore, Stat, Stored
from services.web.sweeper import Sweeper
from services.web.webhooks.delivery import Webhooks
from services.worker.batch import BatchWorker
from services.worker.engines.occupancy import Reservation
from services.worker.outcome_writer import OutcomeWriter, _with_reading
from services.worker.quarantine import Quarantine
from services.worker.reader import BatchReader
from tests.simulation import fault_rates, world
from tests.simulation.plant import design
from tests.simulation.process import current
from tests.simulation.simulate import simulate

Mutant = Callable[[], AbstractContextManager[Any]]


async def _unfenced(self: HeldLease, **changes: object) -> None:
    fresh = msgspec.structs.replace(self.lease, **changes)
    path = self._files.path(layout.LEASE.format(fresh.name))
    await write_paced(self._files.store, path, msgspec.json.encode(fresh))
    self.lease = fresh


async def _not_create_only(
    store: ObjectStore, path: str, data: bytes, *, if_generation: int | None = None, written_at: float | None = None
) -> int:
    return await write_paced(store, path, data, if_generation=if_generation or None)


async def _regardless(store: ObjectStore, path: str, data: bytes, *, if_generation: int | None = None) -> int:
    return await write_paced(store, path, data)


async def _impatient(
    store: ObjectStore, path: str, data: bytes, *, if_generation: int | None = None, written_at: float | None = None
) -> int:
    return await store.write(path, data, if_generation=if_generation)


_design, _forecast = design, fault_rates.forecast
_continue = BatchWorker._continue
_save = OutcomeWriter.save


async def _continue_later(self: BatchWorker, *arguments: Any, **options: Any) -> None:
    async def later() -> None:
        await asyncio.sleep(0.5)
        await _continue(self, *arguments, **options)

    self._later = asyncio.create_task(later())  # type: ignore[attr-defined]


async def _overlooked(self: Sweeper, stat: Stat) -> bool:
    return False


async def _record_first(
    self: OutcomeWriter, reading: Any, generation: int, started_at: datetime | None, *, dpi: int | None = None
) -> None:
    foreseen = _with_reading(await self._unread(reading, started_at, dpi), reading)
    self._call.recorder.note_outcome(foreseen.page_no, foreseen.brief())
    await self._call.recorder.flush()
    await _save(self, reading, generation, started_at, dpi=dpi)


def _always_started(self: Page, at: datetime) -> Page:
    return msgspec.structs.replace(self, status=PageStatus.PROCESSING, processing_started_at=at)


async def _never_ours(files: SessionFiles, lease: Lease, error: Exception) -> tuple[Lease, int]:
    raise LeaseLost(lease.name) from error


_fall_back = BatchReader._fall_back


async def _give_up(self: BatchReader, page_no: int, generation: int, *, tried: bool) -> None:
    await _fall_back(self, page_no, generation, tried=True)


_is_free = lease.is_free


def _by_own_clock(lease: Lease, stored: Stored, run: int, now: datetime) -> bool:
    process = current.get()
    assert process is not None
    return _is_free(lease, stored, run, now + timedelta(seconds=process.skew))


async def _announce_nothing(files: SessionFiles, run: int) -> None:
    return


async def _never_cancelled(files: SessionFiles) -> int:
    return 0


def _beside(self: Quarantine) -> AbstractContextManager[Any]:
    return nullcontext()


def _where(mutant: Mutant, *, plant: Mapping[str, Any], weather: Mapping[str, Any]) -> Mutant:
    """The bug in worlds that are so in part: in others, what shows it seldom happens."""

    @contextmanager
    def planted() -> Iterator[None]:
        with (
            mock.patch.object(world, "design", lambda rng: msgspec.structs.replace(_design(rng), **plant)),
            mock.patch.object(world, "forecast", lambda rng: msgspec.structs.replace(_forecast(rng), **weather)),
            mutant(),
        ):
            yield

    return planted


async def _asleep(self: Webhooks, *arguments: Any) -> None:
    return


def _guilty(self: Reservation, page_no: int) -> bool:
    return True


def _by_job(files: SessionFiles) -> str:
    return files.session_id


def _replaced(self: PageOutcome, before: PageOutcome | None) -> PageOutcome:
    return self if before is None else msgspec.structs.replace(self, readings=before.history)


async def _not_kept(files: SessionFiles, before: PageOutcome) -> None:
    return


def _as_uploaded(self: Job, number: int, page: Page, run: int, asked: PageOptions) -> Page:
    return page.again(run, PageOptions(), layout.page_image(number))


def _has_image(self: Page) -> bool:
    return self.image is not None


async def _unmarked(files: SessionFiles, job: Job, page_no: int) -> None:
    return


async def _remembered(files: SessionFiles, job: Job) -> None:
    return


_read_password = password.read


async def _once(files: SessionFiles, job: Job) -> str | None:
    found = await _read_password(files, job)
    await password.forget(files, job)
    return found


async def _by_hash_alone(store: ObjectStore, email: str, session_id: str) -> SessionFiles:
    return SessionFiles(store=store, user_hash=layout.user_hash(email), session_id=session_id)


MUTANTS: dict[str, Mutant] = {
    "the lease's fence is dropped": lambda: mock.patch.object(HeldLease, "_write", _unfenced),
    "a lease is taken without create-only": lambda: mock.patch.object(lease, "write_paced", _not_create_only),
    # Workers stand still for longer than a lease, with a page in hand.
    "outcomes are written without create-only": _where(
        lambda: mock.patch.object(evidence, "write_paced", _regardless),
        plant={"workers": 4, "dispatches": 8, "lease_seconds": 20.0},
        weather={"until": 400.0, "freeze_seconds": 5.0, "death_seconds": 0.0, "drain_seconds": 0.0},
    ),
    "the successor is enqueued after the answer": lambda: mock.patch.object(BatchWorker, "_continue", _continue_later),
    "the sweep is forgotten": lambda: mock.patch.object(Sweeper, "_look", _overlooked),
    "the record comes before the outcome": lambda: mock.patch.object(OutcomeWriter, "save", _record_first),
    "a merge takes an ended page back": lambda: mock.patch.object(Page, "started", _always_started),
    "a lost answer's 412 is taken for a conflict": lambda: mock.patch.object(lease, "_still_ours", _never_ours),
    "poison pages are not isolated": lambda: mock.patch.object(Lease, "suspicious", property(lambda self: False)),
    "expiry is judged by the worker's own clock": lambda: mock.patch.object(lease, "is_free", _by_own_clock),
    "429 on a lease is not waited for": lambda: mock.patch.object(lease, "write_paced", _impatient),
    # Many calls share a process.
    "a suspicious page is read beside others": _where(
        lambda: mock.patch.object(Quarantine, "alone", _beside),
        plant={"workers": 1, "dispatches": 8, "users": 4, "batch_size": 1},
        weather={},
    ),
    "a page that broke beside others is blamed": lambda: mock.patch.object(Reservation, "was_alone", _guilty),
    "a page is given up without its fallback": lambda: mock.patch.object(BatchReader, "_fall_back", _give_up),
    "a lost record stays lost": lambda: mock.patch("services.web.sweeper.load_or_rebuild", load),
    # Records are often torn.
    "a rebuilt record forgets that its job was cancelled": _where(
        lambda: mock.patch.object(rebuild, "cancelled_run", _never_cancelled),
        plant={"users": 4},
        weather={"until": 400.0, "tear_seconds": 10.0},
    ),
    "the hash of an address is a permission": lambda: mock.patch(
        "services.web.jobs.lookup.validate_session", _by_hash_alone
    ),
    "a failed retry takes the page's text": lambda: mock.patch.object(PageOutcome, "over", _replaced),
    "a reading that is replaced is not kept": lambda: mock.patch.object(evidence, "_keep", _not_kept),
    "a retry's options are forgotten": lambda: mock.patch.object(Job, "_again", _as_uploaded),
    "a page is read from its old image": lambda: mock.patch.object(Page, "drawn", property(_has_image)),
    # Records are often torn.
    "a lost record forgets a retry": _where(
        lambda: mock.patch("services.web.jobs.retry._mark", _unmarked),
        plant={"users": 4},
        weather={"until": 400.0, "tear_seconds": 10.0},
    ),
    "turns go round the jobs, not the users": lambda: mock.patch.object(neighbours, "account", _by_job),
    "a job leaves the index before its end is noted": lambda: mock.patch.object(ending, "retire", active.remove),
    "the password outlives its use": lambda: mock.patch.object(password, "forget", _remembered),
    "the password can be read once": lambda: mock.patch.object(password, "read", _once),
    "the sweep forgets webhooks": lambda: mock.patch.object(Webhooks, "_wake", _asleep),
    "a receiver that fails counts as told": lambda: mock.patch.object(Attempt, "state", DeliveryState.DELIVERED),
    "an upload announces nothing": lambda: mock.patch("services.web.upload.opening.announce", _announce_nothing),
}


def main() -> int:
    """The exit code: 1 when a mutant was not caught."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="how many seeds a mutant has to outlive")
    arguments = parser.parse_args()
    survived = 0
    print(f"{'planted bug':<46}{'seed':>6}  caught as")
    for name, mutant in MUTANTS.items():
        seed, how = catch(mutant, arguments.seeds)
        survived += seed is None
        print(f"{name:<46}{'-' if seed is None else seed:>6}  {how}", flush=True)
    return bool(survived)


def catch(mutant: Mutant, seeds: int) -> tuple[int | None, str]:
    """The first seed that catches the bug, if one does, and what it found."""
    for seed in range(seeds):
        with mutant():
            verdict = simulate(seed)
        if verdict.broken:
            return seed, verdict.broken[0]
    return None, f"NOT CAUGHT in {seeds} seeds"


if __name__ == "__main__":
    sys.exit(main())
