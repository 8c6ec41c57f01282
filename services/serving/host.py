"""The addresses that a service answers under, and the refusal of requests for others."""

import re
from typing import NamedTuple, Self

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from services.serving.problem import Problem, respond

#: The names of this machine, under which a service in local mode always answers.
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})

_DEFAULT_PORTS = {"http": 80, "https": 443}
# RFC 3986, with neither user, path nor query, none of which a browser writes into Host or Origin.
_ADDRESS = re.compile(r"(?:(https?)://)?(\[[0-9a-f:.]+\]|[^\s/:?#@\[\]]+)(?::([0-9]{1,5}))?", re.IGNORECASE)


class Address(NamedTuple):
    """`[scheme://]name[:port]` in lower case, as in `Host`, `Origin` and `ALLOWED_HOSTS`."""

    #: `http`, `https`, or empty where none is given.
    scheme: str
    name: str
    #: The port that is given, or that the scheme implies; `None` without both.
    port: int | None

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The address in `text`; `None` where it is none."""
        found = _ADDRESS.fullmatch(text)
        if found is None:
            return None
        scheme, name, port = (found[1] or "").lower(), found[2].lower(), found[3]
        return cls(scheme, name, int(port) if port else _DEFAULT_PORTS.get(scheme))

    def over(self, scheme: str) -> Self:
        """The same name and port by this scheme; without a port, the scheme's own."""
        return self._replace(scheme=scheme, port=self.port or _DEFAULT_PORTS[scheme])


class HostCheck:
    """Refuses requests for a host that is not this machine, in local mode.

    After DNS rebinding, a page of another site reaches a service on its visitor's machine as its own origin. The
    foreign name in `Host` is then the only sign. In the cloud the platform routes by host.
    """

    def __init__(self, app: ASGIApp, *, names: frozenset[str]) -> None:
        self._app = app
        self._names = LOOPBACK | names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403."""
        if scope["type"] == "http":
            host = Address.parse(Request(scope).headers.get("host", ""))
            if host is None or host.scheme or host.name not in self._names:
                await respond(_refused())(scope, receive, send)
                return
        await self._app(scope, receive, send)


def parse_hosts(text: str) -> frozenset[Address]:
    """The addresses in `ALLOWED_HOSTS`, which separates them by commas; what is no address allows nothing."""
    found = (Address.parse(entry.strip()) for entry in text.split(","))
    return frozenset(address for address in found if address is not None)


def _refused() -> Problem:
    return Problem(
        403,
        "Host refused",
        "This service answers only under its own address.",
        "Use http://127.0.0.1 or add the host to ALLOWED_HOSTS.",
    )
