"""Logging as events with fields: `log.info("page_completed", job_id=..., page_no=7)`.

Never pass document text, an e-mail address or a token as a field.
"""

import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from concurrent_log_handler import ConcurrentRotatingFileHandler

#: The log file is rotated at this size, and so many old files are kept. Chosen: at most 60 MiB of disk.
FILE_BYTES = 10 * 1024 * 1024
FILES_KEPT = 5

#: The logger of audit events, which are JSON whatever the format of the other lines.
AUDIT_LOGGER = "gnosis.audit"
#: Their file, beside the other one; the same size, and so many old files. Chosen: some 600,000 events.
AUDIT_FILE = "audit.jsonl"
AUDIT_FILES_KEPT = 20


def configure(*, level: str, service: str, log_file: Path | None = None, json: bool = False, project: str = "") -> None:
    """Send every event to stderr and, when `log_file` is given, to that file, rotated (R16).

    Audit events go to a file of their own beside that one, and with `json` or without a file to stderr too. Both
    services may write the same files. With `json`, a line is a JSON object with the keys that Cloud Logging knows
    (https://cloud.google.com/logging/docs/structured-logging); otherwise it is logfmt. `project` is the Google project:
    its log viewer groups lines by trace under that name.
    """
    stderr = logging.StreamHandler(sys.stderr)
    handlers: list[logging.Handler] = [stderr]
    audit_handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)] if json or log_file is None else []
    if log_file is not None:
        _make_folder(log_file.parent)
        handlers.append(_rotated(log_file, FILES_KEPT))
        audit_handlers.append(_rotated(log_file.with_name(AUDIT_FILE), AUDIT_FILES_KEPT))
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    as_json: list[structlog.types.Processor] = [_CloudKeys(project), structlog.processors.JSONRenderer()]
    as_text = [structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "service", "event"])]
    of_audit = [structlog.contextvars.merge_contextvars, structlog.stdlib.add_log_level, _audit_fields]
    for group, first, last in ((handlers, shared, as_json if json else as_text), (audit_handlers, of_audit, as_json)):
        formatter = structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=first,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
        for handler in group:
            handler.setFormatter(formatter)
    logging.basicConfig(handlers=handlers, level=level, force=True)
    audit = logging.getLogger(AUDIT_LOGGER)
    for old in audit.handlers[:]:
        audit.removeHandler(old)
        old.close()
    for handler in audit_handlers:
        audit.addHandler(handler)
    # Whatever LOG_LEVEL leaves out of the other log.
    audit.setLevel(logging.INFO)
    audit.propagate = False
    # httpx logs each request at INFO; the queue logs each push with its task's name already.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # These log addresses. The address of an upload to a bucket is a secret: it alone suffices to write the file.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    logging.getLogger("google").setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(service=service)


def _rotated(path: Path, kept: int) -> logging.Handler:
    return _LogFile(str(path), maxBytes=FILE_BYTES, backupCount=kept, chmod=0o600)


def _make_folder(folder: Path) -> None:
    """Make `folder` for this user only, and so its missing parents: the storage's own root is one of them."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _audit_fields(logger: Any, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Adds what the record of an audit event carries: its fields, and its time, the same in each file."""
    record = event["_record"]
    event.update(record.audit)
    event["timestamp"] = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return event


class _LogFile(ConcurrentRotatingFileHandler):
    """A rotated file. A line that it cannot take goes to stderr, and without a traceback for each."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Where the disk is full or no descriptor is left, `logging` would print 50 lines for each."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)
        elif hasattr(record, "audit"):  # other events are on stderr in any case
            sys.stderr.write(self.format(record) + "\n")


class _CloudKeys:
    """Renames the keys to those of Cloud Logging, which other collectors accept as well."""

    def __init__(self, project: str) -> None:
        self._project = project

    def __call__(self, logger: Any, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["severity"] = str(event.pop("level", "info")).upper()
        event["message"] = event.pop("event", "")
        event["time"] = event.pop("timestamp", "")
        if self._project and (trace := event.get("trace_id")):
            event["logging.googleapis.com/trace"] = f"projects/{self._project}/traces/{trace}"
        return event
