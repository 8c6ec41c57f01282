"""Protection of users' browsers: no requests from other sites' pages, and security headers on every response."""

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.serving.host import LOOPBACK, Address
from services.serving.problem import Problem, respond

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
#: Where TLS ends before the service: browsers use nothing else for a year, which ASVS 5.0 (V3.4.1) asks for at least.
_TRANSPORT = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}

# Methods that change nothing (RFC 9110, 9.2.1): a link on another site may lead here.
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# Not `same-site`: another port or subdomain of this host may belong to someone else. `none` is the user's own doing.
_OWN_SITES = frozenset({"same-origin", "none"})
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # After an upgrade a browser must not mix old modules with new ones; the ETag keeps this cheap.
    "Cache-Control": "no-cache",
    "X-Frame-Options": "DENY",
    # No page of another origin embeds an answer, or keeps a handle on the window that it opened.
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
}


class OriginCheck:
    """Refuses requests that a page of another origin makes its visitor's browser send.

    Such a page can call a service on the visitor's own machine, or one where the browser is signed in. The browser then
    sends the page's origin, and says by `Sec-Fetch-Site` (https://www.w3.org/TR/fetch-metadata/) that the request
    crosses sites.
    """

    def __init__(self, app: ASGIApp, *, hosts: frozenset[Address], local: bool) -> None:
        """`hosts` are the service's addresses besides those that a request's `Host` shows."""
        self._app = app
        self._local = local
        self._default = ("http",) if local else ("https",)
        self._listed = frozenset(host.over(scheme) for host in hosts for scheme in self._schemes_of(host))
        self._schemes: dict[str, set[str]] = {name: {"http"} for name in LOOPBACK}
        for host in hosts:
            self._schemes.setdefault(host.name, set()).update(self._schemes_of(host))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403."""
        if scope["type"] == "http" and not self._admits(Request(scope)):
            await respond(_refused())(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _admits(self, request: Request) -> bool:
        if request.method not in _SAFE and request.headers.get("sec-fetch-site", "none") not in _OWN_SITES:
            return False
        return all(self._is_own(origin, request) for origin in request.headers.getlist("origin"))

    def _is_own(self, text: str, request: Request) -> bool:
        origin = Address.parse(text)
        if origin is None or not origin.scheme:
            return False
        if origin in self._listed:
            return True
        host = Address.parse(request.headers.get("host", ""))
        if host is None or origin.scheme not in self._schemes.get(host.name, self._default):
            return False
        return origin == host.over(origin.scheme)

    def _schemes_of(self, host: Address) -> tuple[str, ...]:
        """The schemes of an address in `ALLOWED_HOSTS`: its own, or in local mode, where a proxy may add TLS, both."""
        if host.scheme:
            return (host.scheme,)
        return ("http", "https") if self._local else ("https",)


class SecurityHeaders:
    """Adds the security headers that a route has not set itself, so that browsers load nothing from other sites."""

    def __init__(self, app: ASGIApp, *, local: bool) -> None:
        """Not `local`: browsers reach the service by TLS, and shall by nothing else."""
        self._app = app
        self._headers = _HEADERS if local else _HEADERS | _TRANSPORT

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer through the app, adding the headers."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)


def _refused() -> Problem:
    return Problem(
        403,
        "Origin refused",
        "This request came from a web page of another site.",
        "Open the service's own page, or add the site's host to ALLOWED_HOSTS.",
    )
