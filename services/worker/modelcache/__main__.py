"""`python -m services.worker.modelcache`: fetch the model into the cache, or report that it is there."""

import asyncio
import os
import signal
import sys

from libs import eventlog
from libs.config import ConfigError, read
from services.worker.config import WorkerConfig
from services.worker.engines.engine import EngineUnavailable
from services.worker.modelcache.cache import ModelCache, Uncounted


def main() -> int:
    """Read the settings, fetch, and return the exit code: 1 for a model that cannot be had, 2 for a wrong setting."""
    try:
        config = read(WorkerConfig, os.environ)
        eventlog.configure(level=config.log_level, service="modelcache", json=config.logs_json)
        print(asyncio.run(_fetch(config)))
    except ConfigError as error:
        print(f"gnosis-ocr modelcache: {error}", file=sys.stderr)
        return 2
    except EngineUnavailable as error:
        print(f"gnosis-ocr modelcache: {error}", file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        return 130
    return 0


async def _fetch(config: WorkerConfig) -> str:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    cache = ModelCache(config.model, root=config.cache_root, in_cloud=config.running_in_cloud, meter=Uncounted())
    found = await cache.ensure()
    report = await cache.describe()
    size = f"{report.size_bytes / 1e9:.1f} GB" if report.size_bytes >= 1e8 else f"{report.size_bytes} bytes"
    return f"{found.name} at {found.revision}: whole, {size}, in {found.folder}. {report.source}"


if __name__ == "__main__":
    sys.exit(main())
