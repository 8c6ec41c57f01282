"""Users identified by a token that Google signed: from Identity-Aware Proxy, or for our own OAuth client."""

from collections.abc import Sequence

from starlette.datastructures import Headers

from libs.idtoken.token import BadToken, Claims, TokenVerifier
from services.serving.authorization import bearer, check_single
from services.serving.problem import Problem
from services.web.auth import apikey
from services.web.auth.user import User, user_of

ASSERTION_HEADER = "X-Goog-IAP-JWT-Assertion"


class IapAssertion:
    """The assertion that Identity-Aware Proxy adds to each request that it lets through."""

    kind = "iap"
    schemes = ("iap",)
    hint = "Open the service through its address behind Identity-Aware Proxy."

    def __init__(self, tokens: TokenVerifier, *, domains: frozenset[str] = frozenset()) -> None:
        self._tokens = tokens
        self._domains = domains

    def name(self, proof: str) -> str:
        """See `Credential`."""
        return ""

    def shown(self, headers: Headers) -> Sequence[str]:
        """See `Credential`."""
        check_single(headers, ASSERTION_HEADER)
        return headers.getlist(ASSERTION_HEADER)

    async def user(self, proof: str, method: str) -> User:
        """See `Credential`."""
        return _admitted(await self._tokens.verify(proof), self._domains)


class GoogleToken:
    """A Google ID token issued for our audience, sent as a bearer token."""

    kind = "google"
    schemes = ("bearer",)
    hint = "Send a Google ID token made for this service as `Authorization: Bearer TOKEN`."

    def __init__(self, tokens: TokenVerifier, *, domains: frozenset[str] = frozenset()) -> None:
        self._tokens = tokens
        self._domains = domains

    def name(self, proof: str) -> str:
        """See `Credential`."""
        return ""

    def shown(self, headers: Headers) -> Sequence[str]:
        """See `Credential`."""
        token = bearer(headers)
        return [] if token is None or apikey.has_prefix(token) else [token]

    async def user(self, proof: str, method: str) -> User:
        """See `Credential`."""
        return _admitted(await self._tokens.verify(proof), self._domains)


def _admitted(claims: Claims, domains: frozenset[str]) -> User:
    # By `hd` and not by the address: an account outside any organisation may have any address.
    if domains and claims.hd.lower() not in domains:
        raise Problem(
            403,
            "Domain not admitted",
            "Your account is not of an organisation that may use this service.",
            "Sign in with another account, or ask the operator to add yours to ALLOWED_DOMAINS.",
        )
    try:
        return user_of(claims.email)
    except ValueError as error:
        raise BadToken("email") from error
