"""The gcloud flags of a queue of Cloud Tasks, from what `deploy/queue.yaml` says of it."""

from collections.abc import Sequence

from libs.taskqueue.queue_settings import QueueSettings


class NotDeployable(Exception):
    """The settings work locally but not on Cloud Tasks; the message says what to change."""


def command(verb: str, name: str, settings: QueueSettings, *, place: Sequence[str], log_ratio: float) -> list[str]:
    """The gcloud command that creates or updates (`verb`) the queue `name`.

    `place`: the flags of region and project. `log_ratio`: the share of operations that Cloud Tasks logs, 0 to 1. Raises
    `NotDeployable`.
    """
    return [
        *("gcloud", "tasks", "queues", verb, name),
        *place,
        f"--max-attempts={-1 if settings.max_attempts is None else settings.max_attempts}",
        f"--max-retry-duration={_whole(name, 'maxRetryDuration', settings.max_retry_seconds or 0)}",
        f"--min-backoff={_whole(name, 'minBackoff', settings.min_backoff_seconds)}",
        f"--max-backoff={_whole(name, 'maxBackoff', settings.max_backoff_seconds)}",
        f"--max-doublings={settings.max_doublings}",
        f"--max-dispatches-per-second={settings.max_dispatches_per_second:g}",
        f"--max-concurrent-dispatches={settings.max_concurrent_dispatches}",
        f"--log-sampling-ratio={log_ratio:g}",
    ]


def _whole(queue: str, key: str, seconds: float) -> str:
    """Cloud Tasks cuts durations down to whole seconds: half a second of back-off would become none."""
    if seconds != int(seconds):
        raise NotDeployable(f"queue {queue}: {key} is {seconds:g}s: Cloud Tasks counts whole seconds. Round it.")
    return f"{int(seconds)}s"
