"""The queue that takes the worker's tasks: the one in web, or Cloud Tasks."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx

from libs.config import read
from libs.internal_token import InternalToken
from libs.taskqueue.backend import open_cloud_queue
from libs.taskqueue.cloudsettings import CloudTasksSettings
from libs.taskqueue.queue import OCR_QUEUE, WEBHOOK_QUEUE, TaskQueue
from libs.taskqueue.queue_settings import QueueSettings, queue_path, read_queue_settings
from libs.taskqueue.remote import RemoteQueue
from services.worker.config import WorkerConfig

#: Opens the queue. The argument is the internal token, which goes with every request to it.
OpenQueue = Callable[[InternalToken], AbstractAsyncContextManager[TaskQueue]]


def choose_queue(config: WorkerConfig, environ: Mapping[str, str]) -> OpenQueue:
    """The queue of the mode that `config` asks for (R6). Raises `ConfigError`, `BadQueueFile`."""
    if config.running_in_cloud:
        return cloud_queue(read(CloudTasksSettings, environ), read_queue_settings(queue_path(config.queue_file)))
    return local_queue(config)


def local_queue(config: WorkerConfig) -> OpenQueue:
    """The local queue, which web serves."""

    @asynccontextmanager
    async def opened(token: InternalToken) -> AsyncIterator[TaskQueue]:
        async with httpx.AsyncClient(trust_env=False) as client:
            yield RemoteQueue(config.queue_base, token.headers, client)

    return opened


def cloud_queue(settings: CloudTasksSettings, queues: Mapping[str, QueueSettings]) -> OpenQueue:
    """Cloud Tasks. Raises `ConfigError` now rather than at the first task."""
    # The worker starts no extraction, so it needs no EXTRACT_URL; with it, it need not leave webhooks to the sweep.
    names = (OCR_QUEUE, WEBHOOK_QUEUE) if settings.extract_url else (OCR_QUEUE,)
    own = {name: queues[name] for name in names}
    settings.targets(own)
    return lambda token: open_cloud_queue(settings, own, headers=token.headers)
