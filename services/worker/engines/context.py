"""What an engine is created with."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from services.worker.engines.engine import Fallback
from services.worker.engines.settings import EngineSettings


class ModelFiles(msgspec.Struct, frozen=True, kw_only=True):
    """A complete model on this machine."""

    #: Holds the configuration, the tokenizer and the weights.
    folder: Path
    #: As on the hub: `owner/name`.
    name: str
    #: The commit of the files.
    revision: str


class EngineContext(msgspec.Struct, frozen=True, kw_only=True):
    """The settings, and what the worker provides to its engines."""

    settings: EngineSettings
    #: Brings the model's files to this machine, which may take minutes. Raises `EngineUnavailable`. `None`: no model.
    model: Callable[[], Awaitable[ModelFiles]] | None = None
    #: Whether the model's files are on this machine, by a look at the disk.
    has_model: Callable[[], bool] = lambda: False
    #: Reads the pages that the engine gives up.
    fallback: Fallback | None = None
