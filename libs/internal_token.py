"""The secret by which the services of one installation authenticate each other.

A service accepts several values and sends the first of them, so that the secret can be replaced while services run:
`OLD,NEW` everywhere, then `NEW,OLD`, then `NEW`. While services have either of two neighbours of this row, what one of
them sends is accepted by all.
"""

import asyncio
import secrets
from collections.abc import Mapping

import structlog

from libs.storage import layout
from libs.storage.errors import NotFound, PreconditionFailed, StorageError
from libs.storage.pace import write_paced
from libs.storage.store import ObjectStore

#: The request header that carries the token.
HEADER = "X-Internal-Token"
#: Seconds between two reads of a stored token, and so how long a service may send the one before. Chosen: a read
#: costs little, and a rotation waits for two of these times.
REFRESH_SECONDS = 5.0

_PATH = layout.system_path("internal_token")
_SEPARATOR = ","

log = structlog.get_logger()


class InternalToken:
    """The values that a service accepts; the first is the one it sends.

    Without a `store` they stay as they are given, which is the case where a setting has them.
    """

    def __init__(self, text: str, *, store: ObjectStore | None = None) -> None:
        self._values = parse(text)
        self._store = store

    @property
    def value(self) -> str:
        """The value to send; empty where a stored token was cut off: no service accepts that."""
        return self._values[0] if self._values else ""

    def headers(self) -> Mapping[str, str]:
        """What a request to another service carries."""
        return {HEADER: self.value}

    async def accepts(self, given: str | None) -> bool:
        """Whether `given` is one of the values, compared in constant time.

        A stored token is read again before another value is refused: it may have been replaced a moment ago. Raises
        `StorageError`.
        """
        if self._has(given):
            return True
        if self._store is None or not given:
            return False
        await self._read(self._store)
        return self._has(given)

    async def follow(self) -> None:
        """Keep up with a stored token until cancelled."""
        if self._store is None:
            return
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await self._read(self._store)
            except StorageError as error:
                log.warning("internal_token_unread", error=type(error).__name__)

    def _has(self, given: str | None) -> bool:
        # Each is compared, so that the time does not show which one is equal.
        return sum([matches(given, value) for value in self._values]) > 0

    async def _read(self, store: ObjectStore) -> None:
        try:
            self._values = parse((await store.read(_PATH)).data.decode("utf-8", "replace"))
        except NotFound:
            self._values = ()


async def internal_token(store: ObjectStore, configured: str) -> InternalToken:
    """The configured token; without one, the token in storage, which the service that starts first makes."""
    if configured:
        return InternalToken(configured)
    try:
        text = (await store.read(_PATH)).data.decode("utf-8", "replace")
    except NotFound:
        text = secrets.token_urlsafe(32)
        try:
            await write_paced(store, _PATH, text.encode(), if_generation=0)
        except PreconditionFailed:
            text = (await store.read(_PATH)).data.decode("utf-8", "replace")
    return InternalToken(text, store=store)


async def rotate(store: ObjectStore, *, settle_seconds: float = 2 * REFRESH_SECONDS) -> None:
    """Replace the stored token under running services, none of whose calls is refused meanwhile.

    After an interruption the values before stay accepted; the next rotation ends them. Raises `NotFound` where no
    service has made a token yet, `PreconditionFailed` where another rotation runs, `StorageError`.
    """
    stored = await store.read(_PATH)
    new = secrets.token_urlsafe(32)
    # A service that does not know the new value yet reads the token again when it is given it.
    both = _SEPARATOR.join((new, *parse(stored.data.decode("utf-8", "replace"))))
    generation = await write_paced(store, _PATH, both.encode(), if_generation=stored.generation)
    await asyncio.sleep(settle_seconds)
    await write_paced(store, _PATH, new.encode(), if_generation=generation)


def parse(text: str) -> tuple[str, ...]:
    """The values in a token's text, which are separated by commas."""
    return tuple(value for part in text.split(_SEPARATOR) if (value := part.strip()))


def matches(given: str | None, token: str) -> bool:
    """Whether the tokens are equal, compared in constant time. An empty token, of a file cut off, matches nothing."""
    return bool(token) and secrets.compare_digest((given or "").encode(), token.encode())
