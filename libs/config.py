"""Environment variables, read once into frozen typed settings."""

from collections.abc import Mapping
from typing import TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)


class ConfigError(Exception):
    """A setting is wrong; the message names the variable, its value and the fault."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, rename=str.upper):
    """Base of a service's settings: field `storage_path` is read from the variable `STORAGE_PATH`."""


def read(kind: type[T], environ: Mapping[str, str]) -> T:
    """Read the settings of `kind` from the environment. An empty variable counts as unset. Raises `ConfigError`."""
    names = [field.encode_name for field in msgspec.structs.fields(kind)]
    given = {name: environ[name].strip() for name in names if environ.get(name, "").strip()}
    for name in names:
        alone = {name: given[name]} if name in given else {}
        try:
            msgspec.convert(alone, kind, strict=False)
        except msgspec.ValidationError as error:
            fault = str(error).split(" - at ")[0].replace("`", "")
            raise ConfigError(f"{name}={given.get(name, '')!r}: {fault}. Correct it or unset it.") from error
    return msgspec.convert(given, kind, strict=False)


def refuse_forgotten_switch(running_in_cloud: bool, k_service: str) -> None:
    """Refuse Cloud Run without `RUNNING_IN_CLOUD` (R6): what the services wrote would be gone with the instance."""
    if k_service and not running_in_cloud:
        raise ConfigError(
            "K_SERVICE is set, so this is Cloud Run, where local files are lost with the instance. "
            "Set RUNNING_IN_CLOUD=true."
        )
