"""The worker's metrics: pages, their time and failures; batches; engines and the model's cache."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from libs.jobstate.outcome import OutcomeStatus, PageOutcome
from services.worker.engines.engine import EngineInfo

#: Bucket bounds of a page's time, in seconds. Chosen: about doubling, up to the most that a page may take on a GPU.
PAGE_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0)


class WorkerMetrics:
    """The counters of one worker process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._pages = Counter("gnosis_pages", "Pages given an outcome.", ("engine", "outcome"), registry=registry)
        self._seconds = Histogram(
            "gnosis_page_seconds",
            "Engine time of a page that was read.",
            ("engine",),
            buckets=PAGE_SECONDS,
            registry=registry,
        )
        self._tries = Counter(
            "gnosis_tries",
            "Tries at pages by engines that write, by what became of them.",
            ("engine", "ending"),
            registry=registry,
        )
        self._tokens = Counter("gnosis_tokens", "Tokens written, bad tries too.", ("engine",), registry=registry)
        self._fallbacks = Counter(
            "gnosis_fallbacks", "Pages that went to the fallback engine.", ("outcome",), registry=registry
        )
        self._low_trust = Counter(
            "gnosis_low_trust_pages",
            "Pages read that should be compared with their image.",
            ("engine",),
            registry=registry,
        )
        self._batches = Counter("gnosis_batches", "Batches worked on, by how they ended.", ("end",), registry=registry)
        self._loads = Gauge("gnosis_engine_load_seconds", "What loading took.", ("engine",), registry=registry)
        self._kernels = Gauge(
            "gnosis_engine_kernel", "1 for the attention that an engine runs.", ("engine", "kernel"), registry=registry
        )
        self._graphs = Gauge(
            "gnosis_engine_graphs", "Batch sizes captured as CUDA graphs.", ("engine",), registry=registry
        )
        self._fell_back = Gauge(
            "gnosis_engine_fell_back",
            "1 where an engine does not run the fast way of its device; /health has the reason.",
            ("engine",),
            registry=registry,
        )
        self._asked = Counter(
            "gnosis_model_cache",
            "Times an engine asked for the model, by what the cache held.",
            ("end",),
            registry=registry,
        )
        self._brought_seconds = Gauge(
            "gnosis_model_brought_seconds",
            "What bringing the model took, by the way it came.",
            ("way",),
            registry=registry,
        )
        self._brought_bytes = Gauge(
            "gnosis_model_brought_bytes", "Bytes of the model that came, by the way.", ("way",), registry=registry
        )

    def page(self, outcome: PageOutcome) -> None:
        """Count a page that was given an outcome."""
        engine = outcome.engine or "none"
        kind = "blank" if outcome.blank else outcome.status.value
        self._pages.labels(engine, kind).inc()
        if outcome.status is OutcomeStatus.COMPLETED:
            self._seconds.labels(engine).observe(outcome.seconds)
        for tried in outcome.tries:
            self._tries.labels(tried.engine, tried.ending).inc()
            self._tokens.labels(tried.engine).inc(tried.tokens)
        if outcome.fallback is not None:
            self._fallbacks.labels(outcome.status.value).inc()
        if (trust := outcome.known_trust) is not None and trust.doubts:
            self._low_trust.labels(engine).inc()

    def batch(self, end: str) -> None:
        """Count a batch by its end: `done` (finished or released), `lost` to another holder, `broken` by the engine."""
        self._batches.labels(end).inc()

    def loaded(self, engine: EngineInfo, seconds: float) -> None:
        """Show an engine that was loaded, and the time that took."""
        self._loads.labels(engine.name).set(seconds)
        if (execution := engine.execution) is not None:
            self._kernels.labels(engine.name, execution.kernel).set(1)
            self._graphs.labels(engine.name).set(execution.graphs)
            self._fell_back.labels(engine.name).set(execution.fallback is not None)

    def model_asked(self, *, cached: bool) -> None:
        """Count a request for the model: it was in the cache and complete (`hit`), or not (`miss`)."""
        self._asked.labels("hit" if cached else "miss").inc()

    def model_brought(self, way: str, *, seconds: float, size_bytes: int) -> None:
        """Show a transfer of the model; `way` is a `Transfer`."""
        self._brought_seconds.labels(way).set(seconds)
        self._brought_bytes.labels(way).set(size_bytes)
