"""`python -m services.worker`: serve the worker."""

import os
import sys
from collections.abc import Callable

from libs import eventlog
from libs.config import ConfigError, read, refuse_forgotten_switch
from libs.taskqueue.queue_settings import BadQueueFile
from services.serving import server
from services.serving.layers import BARE, Layers
from services.serving.operator import check_operator_token
from services.serving.queue_identity import check_queue_settings
from services.serving.sandbox import refuse_missing_walls, warn_of_missing_walls
from services.worker.app import create_app
from services.worker.config import WorkerConfig
from services.worker.engines.select import MODEL_ENGINES
from services.worker.modelcache.cache import offline_refusal
from services.worker.modelcache.download import go_offline
from services.worker.queue import choose_queue


def refuse_missing_model(config: WorkerConfig) -> None:
    """Refuse an engine whose model is missing and may not be fetched (R53). Raises `ConfigError`."""
    needs_model = config.ocr_engine in MODEL_ENGINES
    if needs_model and (reason := offline_refusal(config.model, root=config.cache_root)):
        raise ConfigError(reason)


def main(layers: Layers = BARE) -> int:
    """Read the settings, serve, and return the exit code: 2 for a wrong setting or a taken address."""
    try:
        config = read(WorkerConfig, os.environ)
        if config.running_in_cloud:
            check_queue_settings(
                account=config.tasks_service_account,
                url=config.worker_url,
                url_name="WORKER_URL",
                secret=config.internal_token,
            )
        check_operator_token(config.operator_token)
        refuse_forgotten_switch(config.running_in_cloud, config.k_service)
        refuse_missing_walls(config.sandbox)
        refuse_missing_model(config)
        open_queue = choose_queue(config, os.environ)
        eventlog.configure(
            level=config.log_level,
            service="worker",
            log_file=config.log_file,
            json=config.logs_json,
            project=config.google_cloud_project,
        )
    except (ConfigError, BadQueueFile, OSError) as error:
        print(f"gnosis-ocr worker: {error}", file=sys.stderr)  # noqa: T201 - before logging is set up
        return 2
    go_offline(os.environ)
    warn_of_missing_walls()
    drained: list[Callable[[], None]] = []
    app = create_app(config, drained=drained, open_queue=open_queue, layers=layers)

    def stop() -> None:
        for drain in drained:
            drain()

    return server.run(layers.app(app), host=config.worker_host, port=config.worker_port, settings=config, on_stop=stop)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # An abandoned page may still run in a thread: end without waiting for it.
    os._exit(code)
