"""`python -m services.worker.installed`: what a worker of this installation could read with, as JSON."""

import os
import sys

import msgspec

from libs.config import ConfigError, read
from services.worker.config import WorkerConfig
from services.worker.engines import select
from services.worker.engines.context import EngineContext
from services.worker.engines.engine import EngineUnavailable
from services.worker.modelcache.cache import ModelCache, Uncounted


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """What is there for reading."""

    #: The engines that can be chosen.
    engines: tuple[str, ...]
    #: The engine that reads where a job names none, by `OCR_ENGINE`.
    chosen: str
    #: Why it cannot be used; None where it can.
    fault: str | None


def main() -> int:
    """Print it; the exit code: 2 for a wrong setting."""
    try:
        config = read(WorkerConfig, os.environ)
    except ConfigError as error:
        print(f"gnosis-ocr worker: {error}", file=sys.stderr)
        return 2
    print(msgspec.json.encode(_installed(config)).decode())
    return 0


def _installed(config: WorkerConfig) -> Installed:
    cache = ModelCache(config.model, root=config.cache_root, in_cloud=config.running_in_cloud, meter=Uncounted())
    context = EngineContext(settings=config.engine, model=cache.ensure, has_model=cache.is_complete)
    chosen = select.resolved(config.ocr_engine, context)
    try:
        # Not loaded: a model takes minutes, and the memory of a GPU that another process may need.
        select.create_engine(chosen, context)
    except EngineUnavailable as error:
        return Installed(engines=select.available(context), chosen=chosen, fault=str(error))
    return Installed(engines=select.available(context), chosen=chosen, fault=None)


if __name__ == "__main__":
    sys.exit(main())
