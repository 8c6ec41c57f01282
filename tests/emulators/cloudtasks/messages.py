"""What the emulator knows, as the messages of the interface."""

from datetime import UTC, datetime, timedelta

from google.cloud import tasks_v2
from google.rpc import code_pb2, status_pb2

from libs.taskqueue.clock import Clock
from tests.emulators.cloudtasks.entry import Entry
from tests.emulators.cloudtasks.lane import Lane


def queue_message(name: str, lane: Lane, clock: Clock) -> tasks_v2.Queue:
    """A queue."""
    settings = lane.settings
    queue = tasks_v2.Queue(
        name=name,
        rate_limits=tasks_v2.RateLimits(
            max_dispatches_per_second=settings.max_dispatches_per_second,
            max_burst_size=settings.max_burst_size,
            max_concurrent_dispatches=settings.max_concurrent_dispatches,
        ),
        retry_config=tasks_v2.RetryConfig(
            max_attempts=-1 if settings.max_attempts is None else settings.max_attempts,
            max_retry_duration=timedelta(seconds=settings.max_retry_seconds or 0),
            min_backoff=timedelta(seconds=settings.min_backoff_seconds),
            max_backoff=timedelta(seconds=settings.max_backoff_seconds),
            max_doublings=settings.max_doublings,
        ),
        state=tasks_v2.Queue.State.PAUSED if lane.paused else tasks_v2.Queue.State.RUNNING,
    )
    if lane.purged is not None:
        queue.purge_time = moment_of(lane.purged, clock)
    return queue


def task_message(queue: str, entry: Entry, clock: Clock, *, full: bool) -> tasks_v2.Task:
    """A task; without its body unless `full`."""
    task = tasks_v2.Task(entry.task)
    task.name = f"{queue}/tasks/{entry.id}"
    task.schedule_time = moment_of(entry.due, clock)
    task.create_time = moment_of(entry.created, clock).replace(microsecond=0)
    task.dispatch_count = entry.dispatches
    task.response_count = entry.responses
    task.view = tasks_v2.Task.View(tasks_v2.Task.View.FULL if full else tasks_v2.Task.View.BASIC)
    if entry.first_attempt is not None:
        task.first_attempt = tasks_v2.Attempt(dispatch_time=moment_of(entry.first_attempt, clock))
    if entry.last_attempt is not None:
        task.last_attempt = tasks_v2.Attempt(dispatch_time=moment_of(entry.last_attempt, clock))
        if entry.last_response is not None:
            task.last_attempt.response_time = moment_of(entry.last_response, clock)
            task.last_attempt.response_status = status_pb2.Status(code=code_pb2.UNKNOWN, message=entry.reason)
    if not full:
        task.http_request.body = b""
    return task


def moment_of(moment: float, clock: Clock) -> datetime:
    """A moment of the clock as a time of day."""
    return datetime.fromtimestamp(round(clock.epoch() - clock.now() + moment, 6), UTC)
