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

FRESH_SECONDS = 3600.0
"""Keys are asked for again after this long, so that a key taken back is soon not believed any more."""
STALE_SECONDS = 24 * 3600.0
"""While the issuer cannot be reached, the keys known are used for this long."""
PAUSE_SECONDS = 10.0
"""Between two fetches, at least: made-up key ids must not become a flood at the issuer's door."""
FETCH_SECONDS = 5.0
MAX_BYTES = 256 * 1024

log = structlog.get_logger()


class KeysUnavailable(Exception):
    """The issuer's keys cannot be had now, so nothing can be said of its tokens."""


class UnknownKey(Exception):
    """The issuer publishes no key of this id."""


class KeySet:
    """The keys at `url` that sign with `algorithm`, fetched when first needed. Nothing else names where keys are."""

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
        """The key of this id. An unknown one is looked for once more. Raises `UnknownKey`, `KeysUnavailable`."""
        if not self._wants(kid):
            return self._keys[kid]
        async with self._fetching:
            # While this request waited, another may have fetched, in vain or not.
            if self._wants(kid) and self._clock() - self._tried >= PAUSE_SECONDS:
                await self._fetch()
        if self._clock() - self._fetched >= STALE_SECONDS:
            raise KeysUnavailable(self._url)
        if kid in self._keys:
            return self._keys[kid]
        if self._tried > self._fetched:  # it may be the newest key, which could not be seen
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
            continue  # of a kind that came after this version; the others still serve
    if not keys:
        raise ValueError("no usable keys")
    return keys
