"""The API keys of the installation: one object each, `system/keys/ID.json`."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime

import structlog
from starlette.datastructures import Headers

from libs.idtoken.token import BadToken
from libs.storage import layout
from libs.storage.errors import NotFound
from libs.storage.pace import write_paced
from libs.storage.store import ObjectStore
from services.serving.authorization import bearer
from services.serving.problem import Problem
from services.web.auth import apikey
from services.web.auth.apikey import ApiKey, TornKey
from services.web.auth.user import User, user_of

HEADER = "X-Api-Key"
REMEMBERED_SECONDS = 60.0
"""How long a key is used as it was read, so how long a revoked one may go on."""
REMEMBERED_KEYS = 1000
_FOLDER = layout.system_path("keys/")

log = structlog.get_logger()


class Keyring:
    """Keys in a store. What is not there is not remembered, so guesses push no real key out."""

    kind = "api_key"
    schemes = ("key", "bearer")
    hint = "Send an API key as `Authorization: Bearer KEY` or `X-Api-Key: KEY`."

    def __init__(self, store: ObjectStore, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._remembered: dict[str, tuple[float, ApiKey]] = {}

    def shown(self, headers: Headers) -> Sequence[str]:
        """See `Credential`."""
        token = bearer(headers)
        return [*headers.getlist(HEADER), *([token] if token is not None and apikey.is_meant(token) else [])]

    async def user(self, proof: str, method: str) -> User:
        """See `Credential`. A key acts as its owner. Raises `StorageError` where it cannot be looked up."""
        parts = apikey.parse(proof)
        if parts is None:
            raise BadToken("malformed")
        key = await self._find(parts[0])
        if key is None or not key.is_proved_by(parts[1]):
            raise BadToken("unknown_key")
        if fault := key.fault(datetime.fromtimestamp(self._clock(), UTC)):
            raise BadToken(fault)
        if not key.allows(method):
            raise Problem(
                403,
                "Key not allowed",
                "This key may only read.",
                "Use a key with the scope write.",
            )
        return user_of(key.email)

    async def _find(self, key_id: str) -> ApiKey | None:
        read_at, key = self._remembered.get(key_id, (float("-inf"), None))
        now = self._clock()
        # Also for a clock that was set back: then nothing is fresh.
        if key is not None and 0 <= now - read_at < REMEMBERED_SECONDS:
            return key
        self._remembered.pop(key_id, None)
        try:
            key, _ = await read_key(self._store, key_id)
        except NotFound:
            return None
        except TornKey:
            log.error("key_unreadable")
            return None
        if len(self._remembered) >= REMEMBERED_KEYS:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[key_id] = now, key
        return key


async def save_new(store: ObjectStore, key: ApiKey) -> None:
    """Keep a key that was just issued."""
    await store.write(key_path(key.id), apikey.encode(key), if_generation=0)


async def read_key(store: ObjectStore, key_id: str) -> tuple[ApiKey, int]:
    """The key and its generation. Raises `NotFound`, `TornKey`."""
    stored = await store.read(key_path(key_id))
    return apikey.decode(stored.data), stored.generation


async def revoke(store: ObjectStore, key_id: str) -> ApiKey:
    """Take the key back. Raises `NotFound`, `PreconditionFailed` where another did so at this moment."""
    key, generation = await read_key(store, key_id)
    revoked = key.revoke(await store.now())
    await write_paced(store, key_path(key_id), apikey.encode(revoked), if_generation=generation)
    return revoked


async def all_keys(store: ObjectStore) -> AsyncIterator[tuple[str, ApiKey | None]]:
    """Every key by its id; None for one that cannot be read."""
    async for stat in store.list(_FOLDER):
        key_id = stat.path.removeprefix(_FOLDER).removesuffix(".json")
        try:
            yield key_id, apikey.decode((await store.read(stat.path)).data)
        except TornKey:
            yield key_id, None
        except NotFound:  # gone since it was listed
            continue


def key_path(key_id: str) -> str:
    """Where the key lies."""
    return f"{_FOLDER}{key_id}.json"
