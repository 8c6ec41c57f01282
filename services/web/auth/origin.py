"""Whether a request may have come from a web page elsewhere, which acts with its visitor's browser."""

import re
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from services.serving.problem import Problem, respond

_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})


class OwnPages:
    """Refuses requests from a page of another origin and, in local mode, for another host.

    A web page elsewhere can make its visitor's browser call a service on the visitor's own machine, or one where
    the browser is signed in; its requests name their origin. After DNS rebinding they name a host that is not
    ours: in local mode the only sign, while in the cloud the platform knows its hosts.
    """

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str], local: bool) -> None:
        self._app = app
        self._hosts = _LOCAL_HOSTS | hosts if local else hosts
        self._local = local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403."""
        if scope["type"] == "http" and (fault := self._fault(Request(scope))):
            await respond(fault)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _fault(self, request: Request) -> Problem | None:
        host = _without_port(request.headers.get("host", ""))
        if self._local and host not in self._hosts:
            return Problem(
                403,
                "Host refused",
                "This service answers only under its own address.",
                "Use http://127.0.0.1 or add the host to ALLOWED_HOSTS.",
            )
        origin = request.headers.get("origin")
        if origin is not None and _host_of(origin) not in (self._hosts | {host}) - {""}:
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
