"""The hub's library goes online from the downloading child alone."""

from collections.abc import MutableMapping


def go_offline(environ: MutableMapping[str, str]) -> None:
    """From here on an engine that imports the hub's library, or one above it, asks the network for nothing.

    The library reads this once, when it is first imported.
    """
    environ["HF_HUB_OFFLINE"] = "1"
    environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
