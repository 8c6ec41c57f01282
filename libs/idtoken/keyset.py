"""The public keys of an issuer, as it publishes them (JWK Set, RFC 7517)."""

import asyncio
import json
import math
import time
from collections.abc import Callable
from typing import Any

import httpx
import structlog
from jwt import PyJWK
from jwt.exceptions import PyJWTError

#: Keys are fetched again when they are so old. Chosen: a key that its issuer has withdrawn is soon trusted no more.
FRESH_SECONDS = 3600.0
#: While the issuer cannot be reached, known keys are used up to this age. Chosen: an outage of the issuer of less than
#: a day does not lock users out.
STALE_SECONDS = 24 * 3600.0
#: The shortest time between two fetches. Chosen: requests with invented key ids must not flood the issuer.
PAUSE_SECONDS = 10.0
#: The longest time of a fetch. Chosen: a request waits for it.
FETCH_SECONDS = 5.0
#: Of an answer. Chosen: a bound of memory; real key sets have a few kilobytes.
MAX_BYTES = 256 * 1024

log = structlog.get_logger()


class KeysUnavailable(Exception):
    """The issuer's keys cannot be fetched now, so its tokens can be neither accepted nor refused."""


class UnknownKey(Exception):
    """The issuer publishes no key of this id."""


class KeySet:
    """The keys at `url` that sign with `algorithm`, fetched when first needed. No token can name another place."""

    def __init__(
        self, url: str, algorithm: str, client: httpx.AsyncClient, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = url
        self._algorithm = algorithm
        self._client = client
        self._clock = clock
        self._keys: dict[str, PyJWK] = {}
        self._fetched = self._tried = -math.inf
        self._fetching = asyncio.Lock()

    async def key(self, kid: str) -> PyJWK:
        """The key of this id; for an unknown one the keys are fetched again. Raises `UnknownKey`, `KeysUnavailable`."""
        if not self._wants(kid):
            return self._keys[kid]
        async with self._fetching:
            # While this request waited for the lock, another may have fetched.
            if self._wants(kid) and self._clock() - self._tried >= PAUSE_SECONDS:
                await self._fetch()
        if self._clock() - self._fetched >= STALE_SECONDS:
            raise KeysUnavailable(self._url)
        if kid in self._keys:
            return self._keys[kid]
        if self._tried > self._fetched:  # the last fetch failed, and the key may be a new one
            raise KeysUnavailable(self._url)
        raise UnknownKey

    def _wants(self, kid: str) -> bool:
        return kid not in self._keys or self._clock() - self._fetched >= FRESH_SECONDS

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                keys = _usable(await self._body(), self._algorithm)
        except (httpx.HTTPError, TimeoutError, ValueError, RecursionError) as error:
            self._tried = self._clock()
            log.warning("keys_unreachable", url=self._url, error=type(error).__name__)
            return
        self._keys = keys
        self._fetched = self._tried = self._clock()

    async def _body(self) -> bytes:
        body = b""
        async with self._client.stream("GET", self._url, timeout=FETCH_SECONDS, follow_redirects=False) as answer:
            if answer.status_code != 200:
                raise ValueError(f"answer {answer.status_code}")
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise ValueError("too long")
        return body


def _usable(body: bytes, algorithm: str) -> dict[str, PyJWK]:
    """The public signature keys of this algorithm by id. Raises `ValueError` where there are none."""
    document: Any = json.loads(body)
    entries = document.get("keys") if isinstance(document, dict) else None
    keys: dict[str, PyJWK] = {}
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, dict) or not isinstance(kid := entry.get("kid"), str) or "d" in entry:
            continue
        if entry.get("use", "sig") != "sig" or entry.get("alg", algorithm) != algorithm:
            continue
        try:
            keys[kid] = PyJWK(entry, algorithm)
        except (PyJWTError, ValueError, TypeError, KeyError):
            continue  # of a kind that this version does not know
    if not keys:
        raise ValueError("no usable keys")
    return keys
