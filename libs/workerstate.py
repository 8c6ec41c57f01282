"""`system/worker.json`: the state that the worker stores for web, which must not start a worker by asking it."""

import msgspec

from libs.codec import Codec, TornObject
from libs.storage import layout
from libs.storage.errors import NotFound
from libs.storage.store import ObjectStore


class WorkerState(msgspec.Struct, frozen=True, kw_only=True):
    """The worker that started last. Every field has a default: web and worker may be of two versions."""

    #: The process that wrote it.
    holder: str = ""
    #: The state of its default engine: `loading`, `ready`, `failed` and the like.
    state: str = ""
    #: Why that engine failed.
    reason: str | None = None
    engine: str | None = None
    revision: str | None = None
    device: str | None = None
    #: How the engine runs its model, as `GET /health` of the worker shows it.
    execution: dict[str, object] | None = None
    #: The scripts that the engine reads; empty where it does not say.
    scripts: tuple[str, ...] = ()
    #: The names that the option `engine` of an upload may have.
    engines: tuple[str, ...] = ()
    #: The languages that each of them can read, by its name; one that is not named reads what its model knows.
    languages: dict[str, tuple[str, ...]] = {}
    #: The body of the worker's `GET /cache/info`.
    cache: dict[str, object] = {}


class TornWorkerState(TornObject):
    """The stored state cannot be decoded."""


_codec = Codec(WorkerState, TornWorkerState)
encode, decode = _codec.encode, _codec.decode


async def read(store: ObjectStore) -> WorkerState:
    """The stored state; all defaults when none is stored, or a damaged one, which the next start replaces."""
    try:
        return decode((await store.read(layout.WORKER_STATE)).data)
    except (NotFound, TornWorkerState):
        return WorkerState()
