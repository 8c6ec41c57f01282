"""Fetching a file by its address."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import Message

import httpx

from libs.outbound.rules import Refused

#: Redirects that are followed, each checked as the first address is. Chosen: a shortened link, a login, a mirror.
MAX_REDIRECTS = 5


class NotFetched(Exception):
    """The file could not be fetched; the message has the reason, for the user who named it."""


class Fetched:
    """A file as it arrives."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        #: The name that its server gives it, or the last part of the address; `None` where there is neither.
        self.filename = _filename(response)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes of the file. Raises `NotFetched`."""
        try:
            async for chunk in self._response.aiter_raw():
                yield chunk
        except httpx.TransportError as error:
            raise NotFetched(f"The file broke off ({type(error).__name__}).") from error


@asynccontextmanager
async def fetched(client: httpx.AsyncClient, url: str, *, seconds: float) -> AsyncIterator[Fetched]:
    """The file at `url`, through a client of `outbound_client`, for `seconds` in all; the caller limits its size.

    Raises `Refused`, `NotFetched`.
    """
    try:
        async with asyncio.timeout(seconds):
            response = await _answer(client, url)
            try:
                yield Fetched(response)
            finally:
                await response.aclose()
    except TimeoutError as error:
        raise NotFetched(f"The file did not arrive within {seconds:g} s.") from error


async def _answer(client: httpx.AsyncClient, url: str) -> httpx.Response:
    """The last answer after redirects, with its body yet to come. Raises `Refused`, `NotFetched`."""
    for _ in range(MAX_REDIRECTS + 1):
        try:
            response = await client.send(client.build_request("GET", url), stream=True)
        except httpx.InvalidURL as error:
            raise Refused("This is not an address.") from error
        except httpx.TransportError as error:
            raise NotFetched(f"The host did not answer ({type(error).__name__}).") from error
        location = response.headers.get("Location")
        if response.is_success and response.headers.get("Content-Encoding", "identity").lower() == "identity":
            return response
        await response.aclose()
        if response.is_success:
            raise NotFetched("The host sends the file compressed, although it was asked not to.")
        if not response.is_redirect or location is None:
            raise NotFetched(f"The host answered {response.status_code}.")
        try:
            url = str(httpx.URL(url).join(location))
        except httpx.InvalidURL as error:
            raise Refused("The host redirects to what is not an address.") from error
    raise NotFetched(f"The host redirects more than {MAX_REDIRECTS} times.")


def _filename(response: httpx.Response) -> str | None:
    header = Message()
    header["Content-Disposition"] = response.headers.get("Content-Disposition", "")
    try:
        named = header.get_filename()
    except (ValueError, LookupError):  # a character set that does not exist or cannot decode
        named = None
    return named or response.url.path.rpartition("/")[2] or None
