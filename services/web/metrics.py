"""Web's metrics: uploads, rendered pages, the queues' depth, active jobs and how long they have waited."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime

import msgspec
import prometheus_client
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from libs.jobstate.job import Job
from libs.jobstate.status import ENDED, JobStatus
from libs.taskqueue.queue import EXTRACT_QUEUE, OCR_QUEUE, WEBHOOK_QUEUE, WatchedQueue


class WebMetrics:
    """The counters of one web process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter = prometheus_client.Counter
        self._uploads = counter("gnosis_uploads", "Documents taken in.", ("file_type",), registry=registry)
        self._bytes = counter("gnosis_upload_bytes", "Bytes of documents taken in.", registry=registry)
        self._rendered = counter("gnosis_pages_rendered", "Pages rendered.", ("outcome",), registry=registry)
        self._watchers = prometheus_client.Gauge("gnosis_watchers", "Clients that watch a job.", registry=registry)

    def upload(self, file_type: str, size: int) -> None:
        """Count a document of `size` bytes that became a job."""
        self._uploads.labels(file_type).inc()
        self._bytes.inc(size)

    def rendered(self, *, failed: bool) -> None:
        """Count a page whose image was rendered, or cannot be."""
        self._rendered.labels("failed" if failed else "rendered").inc()

    def watchers(self, count: Callable[[], int]) -> None:
        """Read the number of clients that watch a job by `count`, at each scrape."""
        self._watchers.set_function(count)


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """The active jobs as one sweep saw them."""

    at: datetime
    #: The number of jobs with each status that is not final.
    jobs: Mapping[JobStatus, int]
    #: The longest time, in seconds, that a job has waited for the first page of its run.
    waiting_seconds: float
    #: The longest time, in seconds, that a job has made no progress.
    quiet_seconds: float


def survey(active: Iterable[Job], at: datetime) -> Survey:
    """Count the jobs that have not ended, and how long they have waited at the time `at`."""
    jobs = [job for job in active if not job.ended]
    counts = Counter(job.status for job in jobs)
    waits = [(at - job.run_started_at).total_seconds() for job in jobs if not _has_page(job)]
    return Survey(
        at=at,
        jobs={status: counts[status] for status in JobStatus if status not in ENDED},
        waiting_seconds=max([0.0, *waits]),
        quiet_seconds=max([0.0, *((at - job.updated_at).total_seconds() for job in jobs)]),
    )


#: All queues.
_QUEUES = (OCR_QUEUE, EXTRACT_QUEUE, WEBHOOK_QUEUE)


class Backlog(Collector):
    """Gauges read at each scrape: the queues as they are now, the jobs as the last sweep saw them."""

    def __init__(self, queue: WatchedQueue, survey: Callable[[], Survey | None]) -> None:
        self._queue = queue
        self._survey = survey

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The metric families."""
        counts = {name: counts for name in _QUEUES if (counts := self._queue.counts(name))}
        for field, text in (
            ("pending", "Tasks that wait."),
            ("in_flight", "Tasks being worked on."),
            ("oldest_seconds", "How long the first due task has been due."),
        ):
            family = GaugeMetricFamily(f"gnosis_queue_{field}", text, labels=["queue"])
            for queue, known in counts.items():
                family.add_metric([queue], getattr(known, field))
            yield family
        if (survey := self._survey()) is None:
            return  # before the first sweep: 0 would be wrong
        jobs = GaugeMetricFamily("gnosis_active_jobs", "Jobs not ended, at the last sweep.", labels=["status"])
        for status, count in survey.jobs.items():
            jobs.add_metric([status], count)
        yield jobs
        for name, text, seconds in (
            ("gnosis_oldest_waiting_job_seconds", "The longest wait for a first page.", survey.waiting_seconds),
            ("gnosis_quietest_job_seconds", "The longest time without progress.", survey.quiet_seconds),
            ("gnosis_sweep_timestamp_seconds", "When the last sweep ended (Unix time).", survey.at.timestamp()),
        ):
            yield GaugeMetricFamily(name, text, value=seconds)


def _has_page(job: Job) -> bool:
    """Whether a page of the job's present run has ended."""
    return any(page.ended and page.run == job.run for page in job.pages.values())
