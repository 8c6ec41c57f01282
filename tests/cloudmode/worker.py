"""`python -m tests.cloudmode.worker`: the worker on Cloud Tasks."""

import os
from collections.abc import Callable
from pathlib import Path

from libs import eventlog
from libs.config import read
from libs.taskqueue.cloudsettings import CloudTasksSettings
from libs.taskqueue.settings import read_queue_settings
from services import server
from services.worker.app import create_app
from services.worker.config import WorkerConfig
from services.worker.queue import cloud_queue

if __name__ == "__main__":
    config = read(WorkerConfig, os.environ)
    queues = read_queue_settings(Path(config.queue_file))
    eventlog.configure(
        level=config.log_level, service="worker", log_file=Path(config.storage_path) / "logs" / "worker.log"
    )
    drained: list[Callable[[], None]] = []
    opened = cloud_queue(read(CloudTasksSettings, os.environ), queues)
    app = create_app(config, drained=drained, open_queue=opened)

    def stop() -> None:
        for drain in drained:
            drain()

    server.run(app, host=config.worker_host, port=config.worker_port, on_stop=stop)
    os._exit(0)
