"""What web counts: uploads, rendered pages, active jobs and how long they wait, the queues' depth."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from libs.taskqueue.queue import EXTRACT_QUEUE, OCR_QUEUE, WatchedQueue
from services.web.survey import Survey


class WebMetrics:
    """The counters of one web process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._uploads = Counter("gnosis_uploads", "Documents taken in.", ("file_type",), registry=registry)
        self._bytes = Counter("gnosis_upload_bytes", "Bytes of documents taken in.", registry=registry)
        self._rendered = Counter("gnosis_pages_rendered", "Pages rendered.", ("outcome",), registry=registry)

    def upload(self, file_type: str, size: int) -> None:
        """A document became a job; `size` in bytes."""
        self._uploads.labels(file_type).inc()
        self._bytes.inc(size)

    def rendered(self, *, failed: bool) -> None:
        """A page has its image, or cannot have one."""
        self._rendered.labels("failed" if failed else "rendered").inc()


class Backlog(Collector):
    """What waits, asked for at each scrape: the queues now, the jobs as the last sweep saw them."""

    def __init__(self, queue: WatchedQueue, survey: Callable[[], Survey | None]) -> None:
        self._queue = queue
        self._survey = survey

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The families."""
        counts = {name: counts for name in (OCR_QUEUE, EXTRACT_QUEUE) if (counts := self._queue.counts(name))}
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
            return  # not swept yet: saying 0 would be wrong
        jobs = GaugeMetricFamily("gnosis_active_jobs", "Jobs not ended, at the last sweep.", labels=["status"])
        for status, count in survey.jobs.items():
            jobs.add_metric([status], count)
        yield jobs
        for name, text, seconds in (
            ("gnosis_oldest_waiting_job_seconds", "The longest wait for a first page.", survey.waiting_seconds),
            (
                "gnosis_quietest_job_seconds",
                "The longest time without progress.",
                survey.quiet_seconds,
            ),
            ("gnosis_sweep_timestamp_seconds", "When the last sweep ended (Unix time).", survey.at.timestamp()),
        ):
            yield GaugeMetricFamily(name, text, value=seconds)
