"""What the worker and its downloading child say to each other: JSON lines."""

import msgspec

from libs.codec import BadMessage, Codec

FAULT = "The download of the model ended without saying how"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Which model, and the cache's hub folder."""

    hub: str
    model: str
    revision: str
    moves_root: str


class Said(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the child: how many bytes have to come; at last, that all have, or why not."""

    bytes_total: int | None = None
    done: bool = False
    refused: str = ""


REQUESTS = Codec(Request, BadMessage)
LINES = Codec(Said, BadMessage)
