"""Protection of users' browsers: no requests from other sites' pages, and security headers on every response."""

import re
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.serving.problem import Problem, respond

CONTENT_SECURITY_POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"

_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # After an upgrade a browser must not mix old modules with new ones; the ETag keeps this cheap.
    "Cache-Control": "no-cache",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
}


class OriginCheck:
    """Refuses requests from a page of another origin and, in local mode, for another host.

    A page of another site can make its visitor's browser call a service on the visitor's own machine, or one where
    the browser is signed in; such a request carries the page's origin. After DNS rebinding it carries a foreign host
    instead: in local mode that is the only sign, while in the cloud the platform routes by host.
    """

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str], local: bool) -> None:
        self._app = app
        self._hosts = _LOCAL_HOSTS | hosts if local else hosts
        self._local = local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403."""
        if scope["type"] == "http" and (problem := self._problem(Request(scope))):
            await respond(problem)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _problem(self, request: Request) -> Problem | None:
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


class SecurityHeaders:
    """Adds the security headers that a route has not set itself, so that browsers load nothing from other sites."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer through the app, adding the headers."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)


def parse_hosts(text: str) -> frozenset[str]:
    """The host names in `ALLOWED_HOSTS`, which separates them by commas."""
    return frozenset(host.strip().lower() for host in text.split(",") if host.strip())


def _host_of(origin: str) -> str:
    try:
        return _without_port(urlsplit(origin).netloc)
    except ValueError:  # not an address, so not one of ours
        return ""


def _without_port(netloc: str) -> str:
    return re.sub(r":\d+$", "", netloc).lower()
