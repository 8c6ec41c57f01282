"""The `Authorization` header, and the answers to requests that are not authorized."""

from starlette.datastructures import Headers

from services.serving.problem import Problem


def bearer(headers: Headers) -> str | None:
    """The bearer token (RFC 6750); `None` without one. Raises `Problem` 401 for two `Authorization` headers."""
    given = headers.getlist("Authorization")
    if len(given) > 1:
        raise unauthorized("The request has more than one Authorization header.", "Send one.")
    scheme, _, token = (given[0] if given else "").strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def unauthorized(detail: str, hint: str) -> Problem:
    """401, for a request that does not identify its caller."""
    return Problem(401, "Unauthorized", detail, hint, headers={"WWW-Authenticate": "Bearer"})


def keys_unavailable() -> Problem:
    """503, for a token that cannot be checked now: it is never accepted unchecked."""
    return Problem(
        503,
        "Token not checked",
        "The keys that prove your token cannot be fetched now.",
        "Try again in a moment.",
        headers={"Retry-After": "10"},
    )
