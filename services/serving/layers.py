"""What may lie between a service and the parts it works with."""

from collections.abc import Callable
from typing import Any

import msgspec
from starlette.types import ASGIApp

from libs.idtoken.token import GOOGLE, Issuer
from libs.storage.store import ObjectStore


def _nothing(part: Any) -> Any:
    return part


class Layers(msgspec.Struct, frozen=True, kw_only=True):
    """Each is given a part and returns what the service sees of it. A shipped service has none.

    They are the seam for the chaos run (`tests/chaos`), which starts the services exactly as they ship but for a store,
    a queue and answers that die at chosen points, and for the tests of cloud mode, where `google`, who signs the tokens
    of users and of the queue, is an emulator. `queue` passes on whatever else the queue can do.
    """

    store: Callable[[ObjectStore], ObjectStore] = _nothing
    queue: Callable[[Any], Any] = _nothing
    app: Callable[[ASGIApp], ASGIApp] = _nothing
    google: Issuer = GOOGLE


BARE = Layers()
