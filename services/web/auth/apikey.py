"""API keys: `gnosis_ID_SECRET`; only a hash of the secret is stored. Pure."""

import hashlib
import re
import secrets
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from libs.codec import Codec, TornObject

#: Days: the longest that a key may be valid. Chosen: a forgotten key ends within a year.
MAX_DAYS = 365

_PREFIX = "gnosis_"
_KEY = re.compile(r"gnosis_([0-9a-f]{16})_([0-9a-f]{64})")
_READ_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Scope(StrEnum):
    """What a key may do."""

    #: Only requests that change nothing: GET, HEAD, OPTIONS.
    READ = "read"
    #: Everything that its owner may do.
    WRITE = "write"


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as stored.

    The hash is a fast one on purpose: a slow hash protects secrets that people choose, and this secret has 256 random
    bits, which cannot be guessed from a fast hash either.
    """

    #: 16 hex digits: the middle part of the key's text.
    id: str
    #: SHA-256 of the secret, in hex.
    digest: str
    #: The owner, as whom a request with the key acts.
    email: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime
    #: `None` while the key has not been revoked.
    revoked_at: datetime | None = None

    def fault(self, now: datetime) -> str:
        """Why the key is not valid at `now`: `revoked` or `expired`; empty while it is valid."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at <= now else ""

    def is_proved_by(self, secret: str) -> bool:
        """Whether `secret` is the key's, compared in constant time."""
        return secrets.compare_digest(_digest(secret), self.digest)

    def allows(self, method: str) -> bool:
        """Whether the key's scopes cover requests of this HTTP method."""
        return Scope.WRITE in self.scopes or (Scope.READ in self.scopes and method in _READ_METHODS)

    def revoke(self, at: datetime) -> "ApiKey":
        """The key, revoked; one that was revoked before keeps its time."""
        return self if self.revoked_at else msgspec.structs.replace(self, revoked_at=at)


class TornKey(TornObject):
    """The stored object cannot be decoded as a key."""


_codec = Codec(ApiKey, TornKey)
encode, decode = _codec.encode, _codec.decode


def issue(*, email: str, scopes: tuple[Scope, ...], at: datetime, days: int) -> tuple[ApiKey, str]:
    """A new key and its text, which is not stored and cannot be shown again."""
    key_id, secret = secrets.token_hex(8), secrets.token_hex(32)
    key = ApiKey(
        id=key_id,
        digest=_digest(secret),
        email=email,
        scopes=scopes,
        created_at=at,
        expires_at=at + timedelta(days=days),
    )
    return key, f"{_PREFIX}{key_id}_{secret}"


def has_prefix(text: str) -> bool:
    """Whether the text begins as an API key does, valid or not; a token of another kind never does."""
    return text.startswith(_PREFIX)


def parse(text: str) -> tuple[str, str] | None:
    """The id and the secret in the text of a key; `None` for a text of another form."""
    found = _KEY.fullmatch(text)
    return (found[1], found[2]) if found else None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
