"""The worker's settings (R61)."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from services.serving.settings import Positive, ServiceSettings
from services.worker.engines.settings import EngineSettings
from services.worker.modelcache.settings import ModelSettings, home_folder


class WorkerConfig(ServiceSettings, frozen=True, kw_only=True):
    """Each field is the environment variable of the same name in capitals; `.env.example` describes them."""

    worker_host: str = "127.0.0.1"
    queue_url: str = ""
    worker_audience: str = ""
    ocr_engine: str = "auto"
    engine: EngineSettings = EngineSettings()
    model: ModelSettings = ModelSettings()
    fallback_engine: Annotated[str, Meta(pattern="^(auto|none|rapidocr|tesseract|[^:]+:[^:]+)$")] = "auto"
    fallback_memory_bytes: Annotated[int, Meta(ge=64 * 1024**2)] = 4 * 1024**3
    page_seconds: Positive = 120.0
    batch_seconds: Positive = 120.0

    @property
    def queue_audience(self) -> str:
        """The audience of the queue's tokens: `WORKER_AUDIENCE`, by default this service's own address."""
        return self.worker_audience or self.worker_url.rstrip("/")

    @property
    def queue_base(self) -> str:
        """Where tasks are enqueued: `QUEUE_URL`, by default web on this machine."""
        return self.queue_url or f"http://127.0.0.1:{self.web_port}"

    @property
    def cache_root(self) -> Path:
        """The root of the model's cache (R51)."""
        return self.model.cache_root(
            in_cloud=self.running_in_cloud, storage=Path(self.storage_path), home=home_folder()
        )
