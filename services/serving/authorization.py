"""The `Authorization` header, and the answers to requests that are not authorized."""

from starlette.datastructures import Headers

from services.serving.problem import Problem


def bearer(headers: Headers) -> str | None:
    """The bearer token (RFC 6750); `None` without one. Raises `Problem` 400 for two `Authorization` headers."""
    check_single(headers, "Authorization")
    scheme, _, token = headers.get("Authorization", "").strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def check_single(headers: Headers, name: str) -> None:
    """Refuse a header that occurs twice: a proxy before us may have looked at the other. Raises `Problem` 400."""
    if len(headers.getlist(name)) > 1:
        raise Problem(400, "Header repeated", f"The request has more than one {name} header.", "Send one.")


def unauthorized(detail: str, hint: str, *, fault: str) -> Problem:
    """401, for a request that does not identify its caller; `fault` is the reason in a word, for the audit."""
    return Problem(401, "Unauthorized", detail, hint, headers={"WWW-Authenticate": "Bearer"}, fault=fault)


def keys_unavailable() -> Problem:
    """503, for a token that cannot be checked now: it is never accepted unchecked."""
    return Problem(
        503,
        "Token not checked",
        "The keys that prove your token cannot be fetched now.",
        "Try again in a moment.",
        headers={"Retry-After": "10"},
    )
