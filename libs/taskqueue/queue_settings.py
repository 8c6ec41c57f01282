"""Reads `deploy/queue.yaml`: how fast, how many at once and how patiently each queue delivers."""

import math
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Never

import msgspec
import yaml

from libs.taskqueue.queue import EXTRACT_QUEUE, OCR_QUEUE, WEBHOOK_QUEUE

#: The default of `QUEUE_FILE`: below the working directory, as in a checkout and in the images.
DEFAULT_QUEUE_FILE = "deploy/queue.yaml"
#: The project's own file: at the top of a checkout, and beside the packages where the wheel is installed.
SHIPPED_QUEUE_FILE = Path(__file__).resolve().parents[2] / DEFAULT_QUEUE_FILE

_DURATION = re.compile(r"\d{1,9}(\.\d{1,9})?s")


class BadQueueFile(ValueError):
    """The queue file is not usable; the message names file, queue, key, value and fault."""


class QueueSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How one queue delivers, in the terms of Cloud Tasks."""

    max_dispatches_per_second: float
    #: Pushes under way at once.
    max_concurrent_dispatches: int
    #: The size of the token bucket.
    max_burst_size: int
    #: None: no limit.
    max_attempts: int | None
    #: From the first attempt on; None: no limit.
    max_retry_seconds: float | None
    #: The pause after the first failure.
    min_backoff_seconds: float
    #: The longest pause.
    max_backoff_seconds: float
    #: How often the pause doubles before it grows by a constant.
    max_doublings: int
    #: How long a push may take until it counts as failed.
    dispatch_deadline_seconds: float

    def backoff_seconds(self, failures: int) -> float:
        """Seconds to wait after the n-th failure in a row (n >= 1).

        As Cloud Tasks does it: doubling `max_doublings` times from the minimum, then growing by the last step,
        up to the maximum (10 s, 300 s, 3 doublings: 10, 20, 40, 80, 160, 240, 300, 300 ...).
        https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues#RetryConfig
        """
        doublings = min(failures - 1, self.max_doublings)
        step = self.min_backoff_seconds * (1 << doublings)
        return min(step * (failures - doublings), self.max_backoff_seconds)

    def is_exhausted(self, *, attempts: int, age_seconds: float) -> bool:
        """Whether a task that failed is given up: every limit that is set has been passed.

        `age_seconds` counts from the first attempt. With no limit set, never.
        """
        passed = []
        if self.max_attempts is not None:
            passed.append(attempts >= self.max_attempts)
        if self.max_retry_seconds is not None:
            passed.append(age_seconds >= self.max_retry_seconds)
        return bool(passed) and all(passed)


def queue_path(configured: str) -> Path:
    """Where the queue file is: as configured, or the project's own where the default is not below this folder."""
    path = Path(configured)
    return SHIPPED_QUEUE_FILE if configured == DEFAULT_QUEUE_FILE and not path.exists() else path


def read_queue_settings(path: Path) -> dict[str, QueueSettings]:
    """The settings of the queues by name. Raises `BadQueueFile`.

    A file from before there were webhooks has no queue for them, which is then as in the project's own file.
    """
    try:
        document = yaml.load(path.read_text("utf-8"), Loader=_UniqueKeys)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise BadQueueFile(f"{path}: cannot be read: {error.strerror}. Is it in place?") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadQueueFile(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    root = _Section(f"{path}", "", document)
    queues = root.section("queues")
    root.end()
    names = (OCR_QUEUE, EXTRACT_QUEUE, *filter(queues.has, (WEBHOOK_QUEUE,)))
    settings = {name: _queue(queues.section(name, place=f'queue "{name}"')) for name in names}
    queues.end()
    if WEBHOOK_QUEUE not in settings and path != SHIPPED_QUEUE_FILE:
        settings[WEBHOOK_QUEUE] = read_queue_settings(SHIPPED_QUEUE_FILE)[WEBHOOK_QUEUE]
    return settings


def _queue(queue: "_Section") -> QueueSettings:
    rate_limits = queue.section("rateLimits")
    rate = rate_limits.number("maxDispatchesPerSecond", above=0, most=500)
    concurrent = rate_limits.integer("maxConcurrentDispatches", least=1, most=5000)
    # Cloud Tasks sets the burst itself, near a fifth of the rate (500 a second come with a burst of 100).
    burst = rate_limits.integer("maxBurstSize", least=1, most=500, default=max(1, math.ceil(rate / 5)))
    rate_limits.end()

    retry = queue.section("retryConfig")
    attempts = retry.integer("maxAttempts", least=-1, most=1_000_000)
    if attempts == 0:
        retry.refuse("maxAttempts", attempts, "must be -1 (unlimited) or at least 1")
    age = retry.seconds("maxRetryDuration", least=0, most=30 * 86400)
    min_backoff = retry.seconds("minBackoff", least=0.001, most=3600)
    max_backoff = retry.seconds("maxBackoff", least=0.001, most=3600)
    if max_backoff < min_backoff:
        retry.refuse("maxBackoff", f"{max_backoff:g}s", f"must not be below minBackoff ({min_backoff:g}s)")
    doublings = retry.integer("maxDoublings", least=0, most=16)
    retry.end()

    deadline = queue.seconds("dispatchDeadline", least=15, most=1800)
    queue.end()
    return QueueSettings(
        max_dispatches_per_second=rate,
        max_concurrent_dispatches=concurrent,
        max_burst_size=burst,
        max_attempts=None if attempts < 0 else attempts,
        max_retry_seconds=age or None,
        min_backoff_seconds=min_backoff,
        max_backoff_seconds=max_backoff,
        max_doublings=doublings,
        dispatch_deadline_seconds=deadline,
    )


class _Section:
    """One mapping of the file; every key is taken once, and what is left at the `end` is unknown."""

    def __init__(self, place: str, path: str, content: object) -> None:
        self._place = place
        self._path = path
        if not isinstance(content, dict):
            raise BadQueueFile(f"{place}: {path or 'the file'} is {content!r}: must be a mapping of keys to values")
        self._left: dict[object, object] = dict(content)

    def has(self, key: str) -> bool:
        return key in self._left

    def section(self, key: str, place: str = "") -> "_Section":
        content = self._take(key)
        if place:
            return _Section(f"{self._place}: {place}", "", content)
        return _Section(self._place, self._name(key), content)

    def number(self, key: str, *, above: float, most: float) -> float:
        value = self._take(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not above < value <= most:
            self.refuse(key, value, f"must be a number above {above:g}, at most {most:g}")
        return float(value)

    def integer(self, key: str, *, least: int, most: int, default: int | None = None) -> int:
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self.refuse(key, value, f"must be a whole number from {least} to {most}")
        return value

    def seconds(self, key: str, *, least: float, most: float) -> float:
        value = self._take(key)
        if not isinstance(value, str) or not _DURATION.fullmatch(value):
            self.refuse(key, value, 'must be seconds with an "s", such as 0.5s')
        if not least <= float(value[:-1]) <= most:
            self.refuse(key, value, f"must be from {least:g}s to {most:g}s")
        return float(value[:-1])

    def refuse(self, key: str, value: object, fault: str) -> Never:
        raise BadQueueFile(f"{self._place}: {self._name(key)} is {value!r}: {fault}")

    def end(self) -> None:
        """Raise if a key was not taken: a mistyped limit must not pass for its default."""
        if self._left:
            key = str(next(iter(self._left)))
            raise BadQueueFile(f"{self._place}: {self._name(key)} is not a known key: remove it or correct its name")

    def _take(self, key: str, default: object = None) -> object:
        value = self._left.pop(key, default)
        if value is None:
            raise BadQueueFile(f"{self._place}: {self._name(key)} is missing: add it")
        return value

    def _name(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key


class _UniqueKeys(yaml.SafeLoader):
    """YAML lets a repeated key win silently; here it is an error, as an unknown key is."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
        for number, key in enumerate(keys):
            if key.value in [earlier.value for earlier in keys[:number]]:
                fault = f"the key {key.value!r} is there twice"
                raise yaml.constructor.ConstructorError(None, None, fault, key.start_mark)
        return super().construct_mapping(node, deep)
