"""Who is asking (R40), and whether this request may have come from a page elsewhere."""

import re
from urllib.parse import urlsplit

import msgspec
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from libs.storage import layout
from services.problem import Problem, respond

_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,190}")
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})


class User(msgspec.Struct, frozen=True, kw_only=True):
    """The asker: the address, and the hash under which everything of theirs lies."""

    email: str
    user_hash: str


def get_user_from_request(request: Request) -> User:
    """The user named by `X-User-Email`, or the anonymous one. Local mode: the header is believed.

    Raises `Problem` 400 for something that is no address.
    """
    given = request.headers.get("X-User-Email", "").strip().lower()
    if given and not _EMAIL.fullmatch(given):
        raise Problem(
            400,
            "Bad user",
            "X-User-Email is not an e-mail address.",
            "Send an address, or leave the header out.",
        )
    email = given or layout.ANONYMOUS
    return User(email=email, user_hash=layout.user_hash(email))


class LocalOnly:
    """Refuses requests for another host or from a page of another origin.

    A web page elsewhere can make its visitor's browser call a service on the visitor's own machine; its requests
    name their origin, and after DNS rebinding they name a host that is not ours.
    """

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = _LOCAL_HOSTS | hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403."""
        if scope["type"] == "http" and (fault := self._fault(Request(scope))):
            await respond(fault)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _fault(self, request: Request) -> Problem | None:
        host = _without_port(request.headers.get("host", ""))
        if host not in self._hosts:
            return Problem(
                403,
                "Host refused",
                "This service answers only under its own address.",
                "Use http://127.0.0.1 or add the host to ALLOWED_HOSTS.",
            )
        origin = request.headers.get("origin")
        if origin is not None and _host_of(origin) not in self._hosts:
            return Problem(
                403,
                "Origin refused",
                "This request came from a web page of another site.",
                "Open the service's own page, or add the site's host to ALLOWED_HOSTS.",
            )
        return None


def parse_hosts(text: str) -> frozenset[str]:
    """`ALLOWED_HOSTS`: host names separated by commas."""
    return frozenset(host.strip().lower() for host in text.split(",") if host.strip())


def _host_of(origin: str) -> str:
    try:
        return _without_port(urlsplit(origin).netloc)
    except ValueError:  # no address at all, so none of ours
        return ""


def _without_port(netloc: str) -> str:
    return re.sub(r":\d+$", "", netloc).lower()
