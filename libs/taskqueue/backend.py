"""Opening Cloud Tasks. Its packages are imported only here, so local mode does not need them."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from libs.config import ConfigError
from libs.taskqueue.cloudsettings import CloudTasksSettings
from libs.taskqueue.queue import WatchedQueue
from libs.taskqueue.queue_settings import QueueSettings


@asynccontextmanager
async def open_cloud_queue(
    settings: CloudTasksSettings, queues: Mapping[str, QueueSettings], *, headers: Callable[[], Mapping[str, str]]
) -> AsyncIterator[WatchedQueue]:
    """Cloud Tasks, until the block ends. What `headers` returns is sent with every push. Raises `ConfigError`."""
    try:
        from libs.taskqueue.cloudtasks import open_cloud_tasks
    except ImportError as error:
        raise ConfigError(
            f"RUNNING_IN_CLOUD=true needs the package {error.name}: install gnosis-ocr with the extra [gcp]."
        ) from error
    async with open_cloud_tasks(settings, queues, headers=headers) as queue:
        yield queue
