"""The operator's credential: a token that opens the metrics and the details of readiness."""

from starlette.datastructures import Headers
from starlette.requests import Request

from libs.config import ConfigError
from libs.internal_token import matches
from services.serving.authorization import bearer, unauthorized
from services.serving.queue_identity import MIN_SECRET_CHARACTERS


class Operator:
    """Decides whether a request is the operator's: by `OPERATOR_TOKEN`, sent as a bearer token.

    `is_open`: without a token, every request counts as the operator's. That is for local mode without proofs of
    identity, where every caller can act as any user anyway. The caller's address decides nothing: behind a proxy on
    the same machine all callers have 127.0.0.1.
    """

    def __init__(self, token: str, *, is_open: bool) -> None:
        self._token = token
        self._is_open = is_open and not token

    @property
    def is_open(self) -> bool:
        """Whether every request counts as the operator's."""
        return self._is_open

    def admits(self, headers: Headers) -> bool:
        """Whether the request is the operator's. Raises `Problem` 400 for two `Authorization` headers."""
        return self._is_open or matches(bearer(headers), self._token)

    def require(self, headers: Headers) -> None:
        """Raise `Problem` 401 unless the request is the operator's."""
        if not self.admits(headers):
            raise unauthorized(
                "This is for the operator of the service.",
                "Send the value of OPERATOR_TOKEN as `Authorization: Bearer TOKEN`; docs/operations.md has more.",
                fault="not_operator",
            )


def operator(request: Request) -> Operator:
    """What decides this for the app behind the request."""
    found: Operator = request.app.state.operator
    return found


def check_operator_token(token: str) -> None:
    """Raise `ConfigError` for a token that could be guessed."""
    if token and len(token) < MIN_SECRET_CHARACTERS:
        raise ConfigError(
            f"OPERATOR_TOKEN is shorter than {MIN_SECRET_CHARACTERS} characters. Make one with `openssl rand -hex 32`."
        )
