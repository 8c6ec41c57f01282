"""Logging as events with fields: `log.info("page_completed", job_id=..., page_no=7)`.

Never pass document text, an e-mail address or a token as a field.
"""

import logging
import sys
from pathlib import Path

import structlog
from concurrent_log_handler import ConcurrentRotatingFileHandler

FILE_BYTES = 10 * 1024 * 1024
FILES_KEPT = 5


def configure(*, level: str, service: str, log_file: Path | None = None, json: bool = False) -> None:
    """Send every event to stderr and, when `log_file` is given, to that file, rotated (R16).

    Both services may write the same file. `json` prints one JSON object a line, for log collectors; otherwise
    a line for people.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if log_file is not None:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(ConcurrentRotatingFileHandler(str(log_file), maxBytes=FILE_BYTES, backupCount=FILES_KEPT))
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    last: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "service", "event"])
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
    )
    for handler in handlers:
        handler.setFormatter(formatter)
    logging.basicConfig(handlers=handlers, level=level, force=True)
    # httpx logs each request at INFO; the dispatcher's own events say the same with a task's name.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(service=service)
