"""Environment variables, read once into frozen typed settings."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)


class ConfigError(Exception):
    """A setting is wrong; the message has the variable, its value, the fault and the remedy."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, rename=str.upper):
    """Base of settings: the field `storage_path` is read from the environment variable `STORAGE_PATH`.

    A field whose type is a subclass of `Settings` groups settings: its fields are read from variables of their own,
    without a prefix.
    """


def read(kind: type[T], environ: Mapping[str, str]) -> T:
    """Read the settings of `kind` from the environment. An empty variable counts as unset. Raises `ConfigError`."""
    given: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        if _is_group(field):
            given[field.encode_name] = msgspec.to_builtins(read(field.type, environ))
        elif value := environ.get(field.encode_name, "").strip():
            _check(kind, field.encode_name, value)
            given[field.encode_name] = value
    return msgspec.convert(given, kind, strict=False)


def variables(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    """The names of the environment variables that `kind` is read from."""
    names: list[str] = []
    for field in msgspec.structs.fields(kind):
        names += variables(field.type) if _is_group(field) else [field.encode_name]
    return tuple(names)


def refuse_forgotten_switch(running_in_cloud: bool, k_service: str) -> None:
    """Raise `ConfigError` on Cloud Run without `RUNNING_IN_CLOUD` (R6): local files are lost with the instance."""
    if k_service and not running_in_cloud:
        raise ConfigError(
            "K_SERVICE is set, so this is Cloud Run, where local files are lost with the instance. "
            "Set RUNNING_IN_CLOUD=true."
        )


def _is_group(field: msgspec.structs.FieldInfo) -> bool:
    return isinstance(field.type, type) and issubclass(field.type, Settings)


def _check(kind: type[msgspec.Struct], name: str, value: str) -> None:
    """Check one variable by itself, so that the error can name it."""
    try:
        msgspec.convert({name: value}, kind, strict=False)
    except msgspec.ValidationError as error:
        fault = str(error).split(" - at ")[0].replace("`", "")
        raise ConfigError(f"{name}={value!r}: {fault}. Correct it or unset it.") from error
