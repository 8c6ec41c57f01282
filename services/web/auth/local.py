"""Local mode: whoever can reach the service says who they are, and is believed."""

from starlette.datastructures import Headers

from libs.storage import layout
from services.serving.problem import Problem
from services.web.auth.user import User, user_of

HEADER = "X-User-Email"


def believed_user(headers: Headers) -> User:
    """The user named by `X-User-Email`, or the anonymous one. Raises `Problem` 400 for what is no address."""
    try:
        return user_of(headers.get(HEADER, "").strip() or layout.ANONYMOUS)
    except ValueError as error:
        raise Problem(
            400,
            "Bad user",
            "X-User-Email is not an e-mail address.",
            "Send an address, or leave the header out.",
        ) from error
