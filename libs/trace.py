"""Trace ids: the same one for everything that follows from a request, in every process that takes part.

It is the trace id of W3C Trace Context (https://www.w3.org/TR/trace-context/): 32 hex digits. Requests carry it in the
header `traceparent`, tasks in their field `trace`, and log lines in the field `trace_id`.
"""

import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import structlog

# Ids of zeros are invalid by the standard; Cloud Run sends its own header beside the standard one.
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", re.ASCII)
_CLOUD = re.compile(r"(?!0{32})([0-9a-f]{32})(/.*)?", re.ASCII)


def new() -> str:
    """A new id."""
    return secrets.token_hex(16)


def given(headers: Mapping[str, str]) -> str | None:
    """The id in a request's headers, if there is a valid one."""
    found = _TRACEPARENT.fullmatch(headers.get("traceparent", "")) or _CLOUD.fullmatch(
        headers.get("x-cloud-trace-context", "")
    )
    return found[1] if found else None


def current() -> str:
    """The id of the current context; empty outside of any."""
    return str(structlog.contextvars.get_contextvars().get("trace_id", ""))


@contextmanager
def tracing(trace: str) -> Iterator[None]:
    """Set the id for the body; an empty one changes nothing."""
    if not trace:
        yield
        return
    with structlog.contextvars.bound_contextvars(trace_id=trace):
        yield
