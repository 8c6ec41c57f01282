"""What the worker and its downloading child send each other: a request there, events back, each a line of JSON."""

import msgspec

from libs.codec import BadMessage, Codec

#: Bytes of one event. Chosen: a refusal is a few sentences; a child that sends more is broken.
MAX_EVENT_BYTES = 65_536


class ModelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which model to bring into the cache."""

    #: The cache's hub folder.
    hub: str
    #: The model's name on the hub.
    model: str
    #: A branch, tag or commit of it.
    revision: str
    #: Name of the setting that moves the cache's root: for messages about a full disk.
    moves_root: str


class DownloadEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Progress of the child: first `bytes_total`, at the end either `done` or `refused`."""

    #: Bytes that have to come.
    bytes_total: int | None = None
    #: All of the model is in the cache.
    done: bool = False
    #: Why the model cannot be had, and what to do.
    refused: str = ""


REQUESTS = Codec(ModelRequest, BadMessage)
EVENTS = Codec(DownloadEvent, BadMessage)
