"""Signed tokens (JWT, RFC 7519): claims about the caller, by an issuer that is trusted."""

import json
import re
import time
from collections.abc import Callable
from typing import Any, Literal

import jwt
import msgspec
from jwt.exceptions import InvalidAlgorithmError, InvalidSignatureError, PyJWTError

from libs.idtoken.keyset import KeySet, UnknownKey

#: By how much the issuer's clock and ours may differ: the figure that Google gives for IAP
#: (https://cloud.google.com/iap/docs/signed-headers-howto).
SKEW_SECONDS = 30.0
#: The longest time between a token's issue and its expiry. Chosen: far longer than the hour of Google's tokens, and a
#: bound for one that never expires.
MAX_LIFETIME_SECONDS = 24 * 3600.0
#: Chosen: several times the length of real tokens, and a bound for the work on a false one.
MAX_TOKEN_CHARACTERS = 8192
#: What Cloud Run puts in place of a signature that it has verified.
STRIPPED = ".SIGNATURE_REMOVED_BY_GOOGLE"

_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class Issuer(msgspec.Struct, frozen=True, kw_only=True):
    """Who signs tokens, and how."""

    #: Its names in the claim `iss`.
    names: tuple[str, ...]
    #: Where it publishes its keys.
    keys_url: str
    #: The one algorithm that it uses.
    algorithm: Literal["ES256", "RS256"]
    #: Whether its tokens carry the claim `email_verified`, which then must be true.
    has_email_verified: bool


GOOGLE = Issuer(
    names=("https://accounts.google.com", "accounts.google.com"),
    keys_url="https://www.googleapis.com/oauth2/v3/certs",
    algorithm="RS256",
    has_email_verified=True,
)
IAP = Issuer(
    names=("https://cloud.google.com/iap",),
    keys_url="https://www.gstatic.com/iap/verify/public_key-jwk",
    algorithm="ES256",
    has_email_verified=False,
)


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """The claims that are used. Times are seconds since 1970."""

    #: The issuer.
    iss: str
    #: The audience: for which service the token is.
    aud: str
    #: The time of expiry.
    exp: float
    #: The time of issue.
    iat: float
    email: str
    #: The time before which the token is not valid.
    nbf: float = 0.0
    email_verified: bool | None = None
    #: The Workspace or Cloud Identity domain that the account belongs to.
    hd: str = ""


class BadToken(Exception):
    """The token is not valid."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        #: One word for the log.
        self.reason = reason


class TokenVerifier:
    """Verifies tokens of one issuer for one audience. A token cannot choose its own algorithm or keys."""

    def __init__(self, issuer: Issuer, audience: str, keys: KeySet, *, clock: Callable[[], float] = time.time) -> None:
        if not audience:
            raise ValueError("a verifier needs an audience: without one, a token for any service would do")
        self._issuer = issuer
        self._audience = audience
        self._keys = keys
        self._clock = clock
        self._jws = jwt.PyJWS(algorithms=[issuer.algorithm])

    async def verify(self, token: str) -> Claims:
        """The token's claims, once its signature is verified. Raises `BadToken`, `KeysUnavailable`."""
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
        """The claims of a token whose signature Cloud Run has verified and removed. Raises `BadToken`.

        Only for requests that must have come through Cloud Run: such a token can be forged.
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
        if claims.email_verified is False or (claims.email_verified is None and self._issuer.has_email_verified):
            raise BadToken("email_not_verified")
        return claims


def _decode(payload: bytes) -> Claims:
    try:
        document = json.loads(payload.decode(), object_pairs_hook=_once_each)
        return msgspec.convert(document, Claims)
    except (ValueError, OverflowError, RecursionError) as error:
        raise BadToken("claims") from error


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The claims as a dictionary. A token that repeats one is refused: parsers differ in which of the two they take."""
    claims = dict(pairs)
    if len(claims) != len(pairs):
        raise ValueError("a claim is there twice")
    return claims
