"""The queue that web enqueues on: a dispatcher of its own, or Cloud Tasks."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager

from libs.config import read
from libs.internal_token import InternalToken
from libs.taskqueue.backend import open_cloud_queue
from libs.taskqueue.cloudsettings import CloudTasksSettings
from libs.taskqueue.local import LocalQueue
from libs.taskqueue.queue import EXTRACT_QUEUE, OCR_QUEUE, WEBHOOK_QUEUE, WatchedQueue
from libs.taskqueue.queue_settings import QueueSettings
from services.web.config import WebConfig

#: Opens the queue. Takes the internal token, which is sent with every push.
OpenQueue = Callable[[InternalToken], AbstractAsyncContextManager[WatchedQueue]]


def choose_queue(config: WebConfig, queues: Mapping[str, QueueSettings], environ: Mapping[str, str]) -> OpenQueue:
    """The queue for the mode of `config`, local or cloud (R6). Raises `ConfigError`."""
    if config.running_in_cloud:
        return cloud_queue(read(CloudTasksSettings, environ), queues)
    return local_queue(config, queues)


def local_queue(config: WebConfig, queues: Mapping[str, QueueSettings]) -> OpenQueue:
    """A dispatcher in this process, which pushes to the worker and to web itself."""
    targets = {
        OCR_QUEUE: f"{config.worker_base}/process-ocr-batch",
        EXTRACT_QUEUE: f"{config.extract_base}/internal/extract",
        WEBHOOK_QUEUE: f"{config.extract_base}/internal/webhooks",
    }
    return lambda token: LocalQueue(queues, targets, headers=token.headers)


def cloud_queue(settings: CloudTasksSettings, queues: Mapping[str, QueueSettings]) -> OpenQueue:
    """Cloud Tasks. Raises `ConfigError` here rather than at the first task."""
    settings.targets(queues)
    return lambda token: open_cloud_queue(settings, queues, headers=token.headers)
