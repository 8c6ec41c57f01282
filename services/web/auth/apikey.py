"""API keys: `gnosis_ID_SECRET`, of which only a hash is kept. Pure."""

import hashlib
import re
import secrets
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

MAX_DAYS = 365

_MARK = "gnosis_"
_KEY = re.compile(r"gnosis_([0-9a-f]{16})_([0-9a-f]{64})")
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Scope(StrEnum):
    """What a key may do."""

    READ = "read"
    """Look: GET and HEAD."""
    WRITE = "write"
    """Everything its owner may."""


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it is kept. `digest` is the SHA-256 of the secret, in hex.

    A slow hash would protect a secret that somebody thought up; this one has 256 random bits, which no one guesses
    from a fast hash either.
    """

    id: str
    digest: str
    email: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None

    def fault(self, now: datetime) -> str:
        """Why it does not count at that time, in a word; empty while it does."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at <= now else ""

    def is_proved_by(self, secret: str) -> bool:
        """Whether this is the key's secret, compared in constant time."""
        return secrets.compare_digest(_digest(secret), self.digest)

    def allows(self, method: str) -> bool:
        """Whether a request of this HTTP method is within its scopes."""
        return Scope.WRITE in self.scopes or (Scope.READ in self.scopes and method in _READING)

    def revoke(self, at: datetime) -> "ApiKey":
        """The key, taken back. A second time changes nothing."""
        return self if self.revoked_at else msgspec.structs.replace(self, revoked_at=at)


class TornKey(ValueError):
    """What is stored is not a key."""


_decoder = msgspec.json.Decoder(ApiKey)


def issue(*, email: str, scopes: tuple[Scope, ...], at: datetime, days: int) -> tuple[ApiKey, str]:
    """A new key, and the text that proves it: this is the only moment at which that exists."""
    key_id, secret = secrets.token_hex(8), secrets.token_hex(32)
    key = ApiKey(
        id=key_id,
        digest=_digest(secret),
        email=email,
        scopes=scopes,
        created_at=at,
        expires_at=at + timedelta(days=days),
    )
    return key, f"{_MARK}{key_id}_{secret}"


def is_meant(text: str) -> bool:
    """Whether the text wants to be an API key, right or wrong."""
    return text.startswith(_MARK)


def parse(text: str) -> tuple[str, str] | None:
    """The id and the secret; None for what has not the form of a key."""
    found = _KEY.fullmatch(text)
    return (found[1], found[2]) if found else None


def encode(key: ApiKey) -> bytes:
    """The key as stored."""
    return msgspec.json.encode(key)


def decode(data: bytes) -> ApiKey:
    """Read a stored key. Raises `TornKey`."""
    try:
        return _decoder.decode(data)
    except (ValueError, RecursionError) as error:
        raise TornKey(str(error)) from error


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
