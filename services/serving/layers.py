"""Wrappers around the parts that a service works with: a seam for tests."""

from collections.abc import Callable
from typing import Any

import msgspec
from starlette.types import ASGIApp

from libs.idtoken.token import GOOGLE, Issuer
from libs.storage.store import ObjectStore


def _unchanged(part: Any) -> Any:
    return part


class Layers(msgspec.Struct, frozen=True, kw_only=True):
    """Each takes a part and returns what the service uses in its place. A shipped service has none.

    The chaos run (`tests/chaos`) starts the services exactly as they ship, except for a store, a queue and answers that
    die at chosen points; the tests of cloud mode replace Google by an emulator.
    """

    store: Callable[[ObjectStore], ObjectStore] = _unchanged
    #: What it returns has every method of the queue that it was given.
    queue: Callable[[Any], Any] = _unchanged
    app: Callable[[ASGIApp], ASGIApp] = _unchanged
    #: The issuer of users' and the queue's tokens.
    google: Issuer = GOOGLE


#: No wrappers: a service as shipped.
BARE = Layers()
