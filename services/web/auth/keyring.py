"""The API keys of the installation: one stored object each, `system/keys/ID.json`."""

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
from services.serving import audit
from services.serving.audit import Outcome
from services.serving.authorization import bearer, check_single
from services.serving.problem import Problem
from services.web.auth import apikey
from services.web.auth.apikey import ApiKey, TornKey
from services.web.auth.user import User, user_of

#: The headers that may carry a key by itself: our own, then those of clients of Azure and of Unstructured.
HEADERS = ("X-Api-Key", "Ocp-Apim-Subscription-Key", "unstructured-api-key")
#: The scheme of `Authorization`, in lower case, by which PaddleOCR-VL's clients send a key; others send a bearer token.
KEY_SCHEME = "token"
#: Seconds that a key is cached, and so how long a revoked one may still be accepted. Chosen: a read of the store per
#: key and minute.
CACHE_SECONDS = 60.0
#: Keys cached at most, the oldest entry goes first. Bounds memory; chosen.
CACHE_KEYS = 1000

_FOLDER = layout.system_path("keys/")

log = structlog.get_logger()


class Keyring:
    """The API keys in a store, as a `Credential`. Unknown ids are not cached, so guesses push no real key out."""

    kind = "api_key"
    schemes = ("key", "bearer")
    hint = "Send an API key as `Authorization: Bearer KEY` or `X-Api-Key: KEY`."

    def __init__(self, store: ObjectStore, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._cached: dict[str, tuple[float, ApiKey]] = {}

    def name(self, proof: str) -> str:
        """See `Credential`: the key's id, which is no secret."""
        parts = apikey.parse(proof)
        return parts[0] if parts else ""

    def shown(self, headers: Headers) -> Sequence[str]:
        """See `Credential`."""
        token = bearer(headers)
        found = [token] if token is not None and apikey.has_prefix(token) else []
        scheme, _, text = headers.get("Authorization", "").strip().partition(" ")
        if scheme.lower() == KEY_SCHEME:
            found.append(text.strip())
        for name in HEADERS:
            check_single(headers, name)
            found.extend(headers.getlist(name))
        return found

    async def user(self, proof: str, method: str) -> User:
        """See `Credential`. The user is the key's owner. Also raises `StorageError` when the store cannot be read."""
        parts = apikey.parse(proof)
        if parts is None:
            raise BadToken("malformed")
        is_cached, key = await self._find(parts[0])
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
        user = user_of(key.email)
        if not is_cached:
            # Once in `CACHE_SECONDS`: each event of a request with the key names it anyway.
            audit.write("key.use", Outcome.ALLOWED, key_id=key.id, user_hash=user.user_hash)
        return user

    async def _find(self, key_id: str) -> tuple[bool, ApiKey | None]:
        """Whether the key was in the cache, and the key."""
        read_at, key = self._cached.get(key_id, (float("-inf"), None))
        now = self._clock()
        # The lower bound is for a clock that was set back: no entry may then count as fresh.
        if key is not None and 0 <= now - read_at < CACHE_SECONDS:
            return True, key
        self._cached.pop(key_id, None)
        try:
            key, _ = await read_key(self._store, key_id)
        except NotFound:
            return False, None
        except TornKey:
            log.error("key_unreadable")
            return False, None
        if len(self._cached) >= CACHE_KEYS:
            del self._cached[next(iter(self._cached))]
        self._cached[key_id] = now, key
        return False, key


async def save_new(store: ObjectStore, key: ApiKey) -> None:
    """Store a key that was just issued."""
    await store.write(key_path(key.id), apikey.encode(key), if_generation=0)


async def read_key(store: ObjectStore, key_id: str) -> tuple[ApiKey, int]:
    """The key and its generation. Raises `NotFound`, `TornKey`."""
    stored = await store.read(key_path(key_id))
    return apikey.decode(stored.data), stored.generation


async def revoke(store: ObjectStore, key_id: str) -> ApiKey:
    """Store the key as revoked. Raises `NotFound`, and `PreconditionFailed` when it was changed at the same time."""
    key, generation = await read_key(store, key_id)
    revoked = key.revoke(await store.now())
    await write_paced(store, key_path(key_id), apikey.encode(revoked), if_generation=generation)
    return revoked


async def all_keys(store: ObjectStore) -> AsyncIterator[tuple[str, ApiKey | None]]:
    """Every key with its id; `None` in place of a key that cannot be decoded."""
    async for stat in store.list(_FOLDER):
        key_id = stat.path.removeprefix(_FOLDER).removesuffix(".json")
        try:
            yield key_id, apikey.decode((await store.read(stat.path)).data)
        except TornKey:
            yield key_id, None
        except NotFound:  # deleted since it was listed
            continue


def key_path(key_id: str) -> str:
    """The path of the key's object."""
    return f"{_FOLDER}{key_id}.json"
