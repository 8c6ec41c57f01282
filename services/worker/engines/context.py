"""What an engine is made from."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from services.worker.engines.engine import Fallback
from services.worker.engines.settings import EngineSettings


class ModelFiles(msgspec.Struct, frozen=True, kw_only=True):
    """A whole model on this machine: its folder, its name and the revision that the files are of."""

    folder: Path
    name: str
    revision: str


class EngineParts(msgspec.Struct, frozen=True, kw_only=True):
    """The settings, and what the process around an engine lends it.

    `model` brings the model's files to this machine, which may take minutes; it raises `EngineUnavailable`. `has_model`
    tells whether they are here, at once.
    `fallback` reads pages that the engine gives up.
    """

    settings: EngineSettings
    model: Callable[[], Awaitable[ModelFiles]] | None = None
    has_model: Callable[[], bool] = lambda: False
    fallback: Fallback | None = None
