"""The setting `SANDBOX`: whether a service may run where its children's jail lacks a wall."""

import structlog

from libs.config import ConfigError
from services.serving import jail

log = structlog.get_logger()


def refuse_missing_walls(sandbox: str) -> None:
    """Raise `ConfigError` where `SANDBOX=require` and this machine does not support every wall of the jail."""
    if sandbox != "require":
        return
    for wall, reason in jail.missing().items():
        raise ConfigError(f"SANDBOX=require, and {wall} is missing: {reason}")


def warn_of_missing_walls() -> None:
    """Log once what the jail lacks here. Call it when logging is set up."""
    for wall, reason in jail.missing().items():
        log.warning("jail_incomplete", wall=wall, reason=reason)


def report() -> dict[str, str]:
    """Each wall of the jail: `ok`, or why it is missing."""
    missing = jail.missing()
    return {wall.value: missing.get(wall, "ok") for wall in jail.Wall}
