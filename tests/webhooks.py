"""The telling of ends, for tests that build a part of web."""

from typing import Any

from libs.storage.store import ObjectStore
from libs.taskqueue.queue import WEBHOOK_QUEUE, TaskQueue
from libs.taskqueue.queue_settings import SHIPPED_QUEUE_FILE, read_queue_settings
from services.web.config import WebConfig
from services.web.webhooks.delivery import Webhooks
from services.web.webhooks.settings import webhook_settings


def webhooks(store: ObjectStore, queue: TaskQueue, config: WebConfig | None = None, **parts: Any) -> Webhooks:
    """As these settings have it; by default no end is told."""
    schedule = read_queue_settings(SHIPPED_QUEUE_FILE)[WEBHOOK_QUEUE]
    return Webhooks(store, queue, webhook_settings(config or WebConfig()), schedule, **parts)
