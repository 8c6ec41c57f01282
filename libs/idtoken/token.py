"""Signed tokens (JWT, RFC 7519): what an issuer that we trust says of the caller."""

import json
import re
import time
from collections.abc import Callable
from typing import Any, Literal

import jwt
import msgspec
from jwt.exceptions import InvalidAlgorithmError, InvalidSignatureError, PyJWTError

from libs.idtoken.keyset import KeySet, UnknownKey

SKEW_SECONDS = 30.0
"""How far the issuer's clock and ours may be apart (the figure that Google gives for IAP)."""
MAX_LIFETIME_SECONDS = 24 * 3600.0
MAX_TOKEN_CHARACTERS = 8192
STRIPPED = ".SIGNATURE_REMOVED_BY_GOOGLE"

_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class Issuer(msgspec.Struct, frozen=True, kw_only=True):
    """Who signs: its names in `iss`, where its keys are, and the one algorithm that it uses."""

    names: tuple[str, ...]
    keys_url: str
    algorithm: Literal["ES256", "RS256"]
    tells_verified: bool
    """Whether its tokens carry `email_verified`, which then must be true."""


GOOGLE = Issuer(
    names=("https://accounts.google.com", "accounts.google.com"),
    keys_url="https://www.googleapis.com/oauth2/v3/certs",
    algorithm="RS256",
    tells_verified=True,
)
IAP = Issuer(
    names=("https://cloud.google.com/iap",),
    keys_url="https://www.gstatic.com/iap/verify/public_key-jwk",
    algorithm="ES256",
    tells_verified=False,
)


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """The claims that we use. `hd` is the Workspace or Cloud Identity domain that the account belongs to."""

    iss: str
    aud: str
    exp: float
    iat: float
    email: str
    nbf: float = 0.0
    email_verified: bool | None = None
    hd: str = ""


class BadToken(Exception):
    """The token proves nothing; `reason` is one word for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TokenVerifier:
    """Checks tokens of one issuer for one audience. What a token says of its own key and algorithm counts nothing."""

    def __init__(self, issuer: Issuer, audience: str, keys: KeySet, *, clock: Callable[[], float] = time.time) -> None:
        if not audience:
            raise ValueError("a verifier needs an audience: without one, a token for any service would do")
        self._issuer = issuer
        self._audience = audience
        self._keys = keys
        self._clock = clock
        self._jws = jwt.PyJWS(algorithms=[issuer.algorithm])

    async def verify(self, token: str) -> Claims:
        """What the token says, once it is proved. Raises `BadToken`, `KeysUnavailable`."""
        kid = self._key_id(token)
        try:
            key = await self._keys.key(kid)
            decoded = self._jws.decode_complete(token, key, algorithms=[self._issuer.algorithm])
        except UnknownKey as error:
            raise BadToken("unknown_key") from error
        except InvalidAlgorithmError as error:
            raise BadToken("algorithm") from error
        except InvalidSignatureError as error:
            raise BadToken("signature") from error
        except PyJWTError as error:
            raise BadToken("malformed") from error
        return self._checked(decoded["payload"])

    def claims_of_stripped(self, token: str) -> Claims:
        """What a token says whose signature Cloud Run has checked and taken away. Raises `BadToken`.

        It proves nothing by itself: anybody can write one.
        """
        if not token.endswith(STRIPPED):
            raise BadToken("signature")
        self._key_id(token)
        try:
            decoded = self._jws.decode_complete(token, options={"verify_signature": False})
        except PyJWTError as error:
            raise BadToken("malformed") from error
        return self._checked(decoded["payload"])

    def _key_id(self, token: str) -> str:
        if len(token) > MAX_TOKEN_CHARACTERS or not _SHAPE.fullmatch(token):
            raise BadToken("malformed")
        try:
            header = self._jws.get_unverified_header(token)
        except PyJWTError as error:
            raise BadToken("malformed") from error
        if header.get("alg") != self._issuer.algorithm:
            raise BadToken("algorithm")
        kid = header.get("kid")
        if not isinstance(kid, str):
            raise BadToken("unknown_key")
        return kid

    def _checked(self, payload: bytes) -> Claims:
        claims = _decode(payload)
        now = self._clock()
        if claims.iss not in self._issuer.names:
            raise BadToken("issuer")
        if claims.aud != self._audience:
            raise BadToken("audience")
        if claims.exp + SKEW_SECONDS <= now:
            raise BadToken("expired")
        if max(claims.iat, claims.nbf) - SKEW_SECONDS > now:
            raise BadToken("not_yet_valid")
        if not claims.exp - claims.iat <= MAX_LIFETIME_SECONDS:
            raise BadToken("lifetime")
        unsaid = not self._issuer.tells_verified
        if not (unsaid if claims.email_verified is None else claims.email_verified):
            raise BadToken("email_not_verified")
        return claims


def _decode(payload: bytes) -> Claims:
    try:
        document = json.loads(payload.decode(), object_pairs_hook=_once_each)
        return msgspec.convert(document, Claims)
    except (ValueError, OverflowError, RecursionError) as error:
        raise BadToken("claims") from error


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A claim said twice is read differently by different readers, so it is not read at all."""
    claims = dict(pairs)
    if len(claims) != len(pairs):
        raise ValueError("a claim is there twice")
    return claims
