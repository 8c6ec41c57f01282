"""Where the service is, who asks, and how a request becomes one of httpx."""

import ipaddress
import os
from pathlib import Path

import httpx

from gnosis_ocr.errors import GnosisError, Unreachable
from gnosis_ocr.exchange import Request

#: Where `make run` serves.
DEFAULT_URL = "http://127.0.0.1:7799"
# Seconds to establish a connection.
_CONNECT_SECONDS = 10.0


class Connection:
    """The address of a service and the headers that prove who asks."""

    def __init__(self, base_url: str, *, api_key: str | None, user: str | None) -> None:
        url = httpx.URL(base_url)
        if url.scheme not in ("http", "https") or not url.host:
            raise GnosisError(f"{base_url!r} is no address of a service. It begins with http:// or https://.")
        #: Without a slash at its end.
        self.base_url = base_url.rstrip("/")
        self._headers = {
            **({"X-Api-Key": api_key} if api_key else {}),
            **({"X-User-Email": user} if user else {}),
        }
        #: Whether proxies of the environment are used: they may lead to another machine, but never to this one.
        self.trust_env = not _is_this_machine(url.host)

    def request(self, http: httpx.Client | httpx.AsyncClient, request: Request) -> httpx.Request:
        """The request as httpx sends it."""
        return http.build_request(
            request.method,
            self.base_url + request.path,
            params=dict(request.params) or None,
            headers={**self._headers, **request.headers},
            content=request.body or None,
            timeout=httpx.Timeout(request.timeout, connect=_CONNECT_SECONDS),
        )

    def unreachable(self, error: httpx.RequestError) -> Unreachable:
        """The error for a request that got no answer."""
        return Unreachable(f"No answer from {self.base_url} ({type(error).__name__}). Is it running?")


def partial(target: Path) -> Path:
    """The file that a download writes to before it takes the place of `target`: nothing half-written is found there."""
    return target.with_name(f".{target.name}.{os.getpid()}.part")


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
