"""When a failed task is tried again, and when it is given up."""

from libs.taskqueue.settings import QueueSettings


def backoff_seconds(settings: QueueSettings, failures: int) -> float:
    """Seconds to wait after the n-th failure in a row (n >= 1).

    As Cloud Tasks does it: doubling `max_doublings` times from the minimum, then growing by the last step,
    up to the maximum (10 s, 300 s, 3 doublings: 10, 20, 40, 80, 160, 240, 300, 300 ...).
    https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues#RetryConfig
    """
    doublings = min(failures - 1, settings.max_doublings)
    step = settings.min_backoff_seconds * (1 << doublings)
    return min(step * (failures - doublings), settings.max_backoff_seconds)


def is_exhausted(settings: QueueSettings, *, attempts: int, age_seconds: float) -> bool:
    """Whether a task that failed is given up: every limit that is set has been passed.

    `age_seconds` counts from the first attempt. With no limit set, never.
    """
    passed = []
    if settings.max_attempts is not None:
        passed.append(attempts >= settings.max_attempts)
    if settings.max_retry_seconds is not None:
        passed.append(age_seconds >= settings.max_retry_seconds)
    return bool(passed) and all(passed)
