"""`python -m services.web`: serve the web service."""

import os
import sys
from collections.abc import Callable

from libs import eventlog
from libs.config import ConfigError, read, refuse_forgotten_switch
from libs.taskqueue.queue_settings import BadQueueFile, queue_path, read_queue_settings
from services.serving import server
from services.serving.layers import BARE, Layers
from services.serving.operator import check_operator_token
from services.serving.sandbox import refuse_missing_walls, warn_of_missing_walls
from services.web.app import create_app
from services.web.auth.configured import check_identity_settings
from services.web.config import WebConfig
from services.web.frontdoors.doors import open_doors
from services.web.queue import choose_queue
from services.web.webhooks.settings import webhook_settings


def main(layers: Layers = BARE) -> int:
    """Read the settings, serve, and return the exit code: 2 for a wrong setting or a taken address."""
    try:
        config = read(WebConfig, os.environ)
        check_identity_settings(config)
        open_doors(config.front_doors)
        check_operator_token(config.operator_token)
        refuse_forgotten_switch(config.running_in_cloud, config.k_service)
        refuse_missing_walls(config.sandbox)
        _ = config.fetch_rules  # what is wrong is refused now rather than at the first request
        webhook_settings(config)
        queues = read_queue_settings(queue_path(config.queue_file))
        open_queue = choose_queue(config, queues, os.environ)
        eventlog.configure(
            level=config.log_level,
            service="web",
            log_file=config.log_file,
            json=config.logs_json,
            project=config.google_cloud_project,
        )
    except (ConfigError, BadQueueFile, OSError) as error:
        print(f"gnosis-ocr web: {error}", file=sys.stderr)  # noqa: T201 - before logging is set up
        return 2
    warn_of_missing_walls()
    drained: list[Callable[[], None]] = []
    app = create_app(config, queues, drained=drained, open_queue=open_queue, layers=layers)

    def stop() -> None:
        for drain in drained:
            drain()

    return server.run(layers.app(app), host=config.web_host, port=config.web_port, settings=config, on_stop=stop)


if __name__ == "__main__":
    sys.exit(main())
