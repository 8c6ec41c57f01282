"""Batches: how a job's pages are cut into units of claim. Pure."""

from collections.abc import Iterator

import msgspec

from libs.jobstate.job import Job
from libs.jobstate.page import all_ended, all_prepared


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive planned pages that one worker claims together."""

    #: Counts from 1.
    number: int
    #: Of its lease.
    name: str
    pages: tuple[int, ...]


def size(pages: int, *, most: int, parallelism: int) -> int:
    """Pages per batch: at most `most`, and such that every chain gets a batch in each round."""
    rounds = -(-pages // (most * parallelism))
    return max(1, -(-pages // max(1, parallelism * rounds)))


def chains(job: Job) -> int:
    """How many chains of tasks work on the job's batches at once."""
    return min(job.parallelism, count(job))


def count(job: Job) -> int:
    """How many batches the plan has."""
    return -(-len(job.pages) // job.batch_size) if job.pages else 0


def batches(job: Job) -> Iterator[Batch]:
    """Every batch of the plan, in page order."""
    numbers = list(job.pages)
    for number in range(1, count(job) + 1):
        first = (number - 1) * job.batch_size
        pages = tuple(numbers[first : first + job.batch_size])
        yield Batch(number=number, name=f"{number:04d}", pages=pages)


def ended(job: Job, batch: Batch) -> bool:
    """Whether each page of the batch has its outcome in the record."""
    return all_ended([job.pages[n] for n in batch.pages])


def open_batches(job: Job) -> Iterator[Batch]:
    """The batches that the record does not show as ended."""
    return (batch for batch in batches(job) if not ended(job, batch))


def ready(job: Job, batch: Batch) -> bool:
    """Whether the batch can be read: each page has its image or its outcome, and some page has no outcome."""
    pages = [job.pages[n] for n in batch.pages]
    return all_prepared(pages) and not all_ended(pages)


def striped(job: Job, chain: int) -> list[Batch]:
    """The batches that can be read, in the order in which `chain` tries them: its own stripe first, then the next.

    Chains that start together compete for a batch only after their own stripes, and then not all for the same one.
    """
    return sorted(
        (batch for batch in batches(job) if ready(job, batch)), key=lambda batch: _distance(job, batch, chain)
    )


def is_own(job: Job, batch: Batch, chain: int) -> bool:
    """Whether the batch belongs to the chain's own stripe."""
    return _distance(job, batch, chain) == 0


def _distance(job: Job, batch: Batch, chain: int) -> int:
    return (batch.number - 1 - chain) % max(1, chains(job))
