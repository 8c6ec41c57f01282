"""`python -m tests.cloudmode.web`: the web service on Cloud Tasks."""

import os
from collections.abc import Callable
from pathlib import Path

from libs import eventlog
from libs.config import read
from libs.taskqueue.cloudsettings import CloudTasksSettings
from libs.taskqueue.settings import read_queue_settings
from services import server
from services.web.app import create_app
from services.web.config import WebConfig
from services.web.queue import cloud_queue

if __name__ == "__main__":
    config = read(WebConfig, os.environ)
    queues = read_queue_settings(Path(config.queue_file))
    eventlog.configure(level=config.log_level, service="web", log_file=Path(config.storage_path) / "logs" / "web.log")
    drained: list[Callable[[], None]] = []
    opened = cloud_queue(read(CloudTasksSettings, os.environ), queues)
    app = create_app(config, queues, drained=drained, open_queue=opened)

    def stop() -> None:
        for drain in drained:
            drain()

    server.run(app, host=config.web_host, port=config.web_port, on_stop=stop)
