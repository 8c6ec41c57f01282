"""A queue's settings as gcloud flags."""

import msgspec
import pytest

from deploy.queues import NotDeployable, command
from libs.taskqueue.queue_settings import QueueSettings

SETTINGS = QueueSettings(
    max_dispatches_per_second=2.5,
    max_concurrent_dispatches=3,
    max_burst_size=1,
    max_attempts=None,
    max_retry_seconds=None,
    min_backoff_seconds=1.0,
    max_backoff_seconds=60.0,
    max_doublings=0,
    dispatch_deadline_seconds=600.0,
)


def test_every_setting_becomes_its_flag() -> None:
    assert command("create", "q", SETTINGS, place=["--location=here"], log_ratio=0.5) == [
        *("gcloud", "tasks", "queues", "create", "q", "--location=here"),
        "--max-attempts=-1",
        "--max-retry-duration=0s",
        "--min-backoff=1s",
        "--max-backoff=60s",
        "--max-doublings=0",
        "--max-dispatches-per-second=2.5",
        "--max-concurrent-dispatches=3",
        "--log-sampling-ratio=0.5",
    ]
    limited = msgspec.structs.replace(SETTINGS, max_attempts=7, max_retry_seconds=90.0)
    flags = command("update", "q", limited, place=[], log_ratio=1.0)
    assert {"--max-attempts=7", "--max-retry-duration=90s"} <= set(flags)


@pytest.mark.parametrize("field", ["max_retry_seconds", "min_backoff_seconds", "max_backoff_seconds"])
def test_a_duration_that_cloud_tasks_would_cut_is_refused(field: str) -> None:
    with pytest.raises(NotDeployable, match=r"is 1\.5s: Cloud Tasks counts whole seconds"):
        command("create", "q", msgspec.structs.replace(SETTINGS, **{field: 1.5}), place=[], log_ratio=1.0)
