"""The audit events that a test causes in its own process."""

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from libs.eventlog import AUDIT_LOGGER


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.events.append(dict(vars(record)["audit"]))


@contextlib.contextmanager
def audit_events() -> Iterator[list[dict[str, Any]]]:
    """The events of the block, in their order."""
    kept, logger = _Kept(), logging.getLogger(AUDIT_LOGGER)
    level = logger.level
    logger.addHandler(kept)
    logger.setLevel(logging.INFO)
    try:
        yield kept.events
    finally:
        logger.removeHandler(kept)
        logger.setLevel(level)
