"""How far the transfer of a model is: for the probes and the log."""

import time
from collections.abc import Callable
from enum import StrEnum

import msgspec
import structlog

log = structlog.get_logger()

# Seconds between two log events of one transfer. Chosen: a download of minutes shows that it goes on, in few lines.
LOG_SECONDS = 10.0


class Transfer(StrEnum):
    """The way by which a model got into the cache, or into the kernel's memory."""

    #: Downloaded from the hub.
    HUB = "hub"
    #: Copied from the bucket of models.
    BUCKET = "bucket"
    #: Already in the cache, on a network mount, and read once from beginning to end.
    READ = "read"


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a transfer."""

    way: Transfer
    bytes_done: int = 0
    #: Bytes that were missing when the transfer began.
    bytes_total: int = 0


#: Is called whenever a transfer gets on.
OnProgress = Callable[[Progress], None]


class ProgressLog:
    """Keeps the latest progress, and logs one event every few seconds."""

    def __init__(self) -> None:
        #: The latest progress; `None` while no transfer is under way.
        self.now: Progress | None = None
        self._logged = 0.0

    def update(self, progress: Progress) -> None:
        """Keep `progress`; log it where a transfer begins or `LOG_SECONDS` have passed."""
        began = self.now is None or self.now.way is not progress.way
        self.now = progress
        moment = time.monotonic()
        if began or moment - self._logged >= LOG_SECONDS:
            self._logged = moment
            log.info("model_coming", **msgspec.to_builtins(progress))

    def end(self) -> None:
        """The transfer has ended."""
        self.now = None
