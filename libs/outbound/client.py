"""An HTTP client that connects only to what the rules allow, whatever a host's name resolves to.

The name is resolved once, every address is checked, and the connection goes to one of the addresses that were checked:
a name server that answers differently a moment later is not asked again. (`httpx-secure` does nearly this, but chooses
among a host's addresses by opening connections to them, refused ones included.)
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from http.cookiejar import DefaultCookiePolicy

import httpx

from libs.outbound.address import standing
from libs.outbound.rules import Refused, Rules, Target

#: Returns the addresses of a host. Raises `OSError`.
Resolve = Callable[[str, int], Awaitable[list[str]]]

#: Addresses of a host that are tried. Chosen: one of each family and one more of each.
MAX_TRIED = 4
#: Threads that resolve names. Chosen: a slow name server holds up other outbound requests, and nothing else.
_RESOLVERS = 4


class SystemResolver:
    """The resolver of the operating system, on threads of its own: the shared ones serve the storage."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="resolve")

    async def __call__(self, host: str, port: int) -> list[str]:
        """See `Resolve`."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return list(dict.fromkeys(str(address[0]) for *_, address in found))


class PinnedTransport(httpx.AsyncBaseTransport):
    """Sends each request to a checked address of its host, with the host's name in `Host`, SNI and certificate."""

    def __init__(self, rules: Rules, resolve: Resolve) -> None:
        self._rules = rules
        self._resolve = resolve
        # No connection is kept: the next request to the same address may be for another host.
        self._inner = httpx.AsyncHTTPTransport(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer. Raises `Refused`, `httpx.TransportError`."""
        target = self._rules.target(str(request.url))
        seconds = request.extensions.get("timeout", {}).get("connect")
        failure: httpx.TransportError | None = None
        for address in (await self._checked(target, seconds))[:MAX_TRIED]:
            pinned = httpx.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=request.headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": target.host},
            )
            try:
                return await self._inner.handle_async_request(pinned)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:  # nothing of the request was sent
                failure = error
        raise failure or httpx.ConnectError("the host has no address")

    async def aclose(self) -> None:
        """Close what is open."""
        await self._inner.aclose()

    async def _checked(self, target: Target, seconds: float | None) -> list[str]:
        """The host's addresses. Raises `Refused` where one of them is not allowed, `httpx.ConnectError`."""
        try:
            async with asyncio.timeout(seconds):
                addresses = await self._resolve(target.host, target.port)
        except TimeoutError as error:
            raise httpx.ConnectTimeout("the host's name was not resolved in time") from error
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError("the host's name was not resolved") from error
        # Of a host with a public and a private address none is called: which one answers is chance.
        if not all(target.admits(standing(address)) for address in addresses):
            raise Refused(
                f"{target.host} is not on the internet, and this installation calls no other hosts than its operator "
                f"names in {self._rules.name}."
            )
        return addresses


def outbound_client(rules: Rules, *, seconds: float, resolve: Resolve | None = None) -> httpx.AsyncClient:
    """A client under these rules: no redirects, no cookies, nothing of the environment (proxies, `.netrc`).

    `seconds`: the longest time to connect, and between two reads; the caller limits the whole.
    """
    client = httpx.AsyncClient(
        transport=PinnedTransport(rules, resolve or SystemResolver()),
        timeout=seconds,
        trust_env=False,
        follow_redirects=False,
        # Compressed bodies are refused: a small one may unpack into gigabytes.
        headers={"User-Agent": "gnosis-ocr", "Accept-Encoding": "identity"},
    )
    client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return client
