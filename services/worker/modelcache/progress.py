"""How far a model has come: for the log and for whoever asks."""

import time
from collections.abc import Callable
from enum import StrEnum

import msgspec
import structlog

log = structlog.get_logger()

LOG_SECONDS = 10.0


class Way(StrEnum):
    """How a model got into the cache, or to where it is fast to read."""

    HUB = "hub"  # downloaded
    BUCKET = "bucket"  # copied from the bucket of models
    READ = "read"  # it was there, on a network mount, and was read once from beginning to end


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that have come of those that have to."""

    way: Way
    bytes_done: int = 0
    bytes_total: int = 0


Told = Callable[[Progress], None]


class ProgressLog:
    """Keeps the latest word, and writes one event every few seconds."""

    def __init__(self) -> None:
        self.now: Progress | None = None
        self._logged = 0.0

    def tell(self, progress: Progress) -> None:
        """Take note."""
        began = self.now is None or self.now.way is not progress.way
        self.now = progress
        moment = time.monotonic()
        if began or moment - self._logged >= LOG_SECONDS:
            self._logged = moment
            log.info("model_coming", **msgspec.to_builtins(progress))

    def end(self) -> None:
        """Nothing is on its way any more."""
        self.now = None
