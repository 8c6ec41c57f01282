"""The HTTP side of a chat server: one request at a time, and what each failure of one means.

A server that is away, busy or refuses the key is not the page's fault: `EngineUnavailable`, and the page waits. A fault
after the server has begun on a page may be the page's doing: `ServerFault`, if it persists.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import cast

import httpx
import msgspec
import structlog

from libs.retry import retry_after_seconds
from services.worker.engines.chat.completion import (
    CompletionRequest,
    ProtocolError,
    StreamedAnswer,
    models,
    refused_field,
)
from services.worker.engines.chat.retry import RequestFault
from services.worker.engines.chat.throttle import Throttle
from services.worker.engines.engine import EngineUnavailable
from services.worker.engines.settings import OpenAiSettings
from services.worker.engines.transcriber import Transcript, Untranscribable

log = structlog.get_logger()

#: Seconds for a connection to be made. Chosen: a server that takes longer is away.
CONNECT_SECONDS = 10.0
#: Shares of OPENAI_TIMEOUT_SECONDS, the time for a page with all its requests: until the first piece of text, which
#: includes the server's queue and the prefill of the page, and between two pieces. Chosen: after one request that hangs
#: there is time for another.
FIRST_SHARE, BETWEEN_SHARE = 1 / 2, 1 / 5
#: Seconds after the finish reason in which the server may still send its count of tokens. Chosen: it comes at once or
#: never, and the page is read already.
COUNT_SECONDS = 2.0
#: Bytes that are read of a refusal, or of a list of models. Chosen: it bounds the
#: memory, and a real list is far shorter.
MAX_BODY_BYTES = 1 << 20

# 529: overloaded, as some hosted services say.
_BUSY = {429, 503, 529}
# Servers without a list of models, and some that fail to make theirs.
_NO_MODEL_LIST = {404, 405, 500, 501}
# These refuse the picture or a field of the request, so another page may pass.
_PAGE_REFUSED = {400, 413, 415, 422}


class ChatClient:
    """One server: its connections, its throttle, and the request fields that it does not know.

    Each method makes one request, for `retry.request_with_retries` to repeat, and raises `RequestFault` or
    `EngineUnavailable`.
    """

    def __init__(self, settings: OpenAiSettings) -> None:
        self._settings = settings
        self._seconds = settings.openai_timeout_seconds
        self._throttle = Throttle(settings.openai_concurrency)
        self._unknown_fields: frozenset[str] = frozenset()
        self._client: httpx.AsyncClient | None = None

    async def open(self) -> None:
        """Make the connections' pool anew. Raises `EngineUnavailable` where a setting is malformed."""
        await self.close()
        self._client = _open(self._settings)

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def models(self, deadline: float) -> tuple[str, ...]:
        """The models that the server lists; none where it has no list."""
        assert self._client, "open() comes first"
        try:
            async with asyncio.timeout_at(deadline), self._client.stream("GET", "models") as response:
                body = await _body(response)
        except (httpx.HTTPError, TimeoutError) as error:
            raise RequestFault("cannot be reached", away=True) from error
        if response.status_code == 200:
            return models(body)
        if response.status_code in _NO_MODEL_LIST:
            return ()
        if response.status_code == 408 or response.status_code > 501:
            # A proxy answers for a server that has not started yet.
            raise RequestFault(f"is not up ({response.status_code})", away=True)
        raise self._fault(response, body, 0)

    async def complete(self, request: CompletionRequest, alive: Callable[[], None], deadline: float) -> Transcript:
        """The model's answer; `alive` is called with each piece of text. Also raises `Untranscribable`."""
        clock = asyncio.get_running_loop().time
        number, began = 0, clock()
        try:
            async with asyncio.timeout_at(deadline), self._throttle as number:
                began = clock()
                return await self._complete(request, alive, number)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            raise RequestFault("cannot be reached", away=True) from error
        except TimeoutError as error:
            self._throttle.decrease(number)
            # A request that waited for the throttle may have had too little time left: not the page's fault.
            hurried = not number or deadline - began < self._seconds * FIRST_SHARE
            raise RequestFault("gives no answer in time", away=hurried) from error
        except httpx.HTTPError as error:
            raise RequestFault("breaks the connection off", away=False) from error
        except ProtocolError as error:
            raise RequestFault(str(error), away=False) from error

    async def _complete(self, request: CompletionRequest, alive: Callable[[], None], number: int) -> Transcript:
        assert self._client, "open() comes first"
        without = self._unknown_fields
        body = msgspec.json.encode(request.fields(without=without))
        answer = StreamedAnswer(request.sampling.max_tokens)
        try:
            async with (
                asyncio.timeout(self._seconds * FIRST_SHARE) as limit,
                self._client.stream("POST", "chat/completions", content=body) as response,
            ):
                if response.status_code != 200:
                    body = await _body(response)
                    if (field := self._learned(response.status_code, body, request, without)) is not None:
                        raise RequestFault(f"does not know {field}", away=True)
                    raise self._fault(response, body, number)
                await self._receive(response, answer, alive, limit)
        except TimeoutError:
            if not answer.has_finish_reason:
                raise
        transcript = answer.transcript()
        self._throttle.increase()
        return transcript

    async def _receive(
        self, response: httpx.Response, answer: StreamedAnswer, alive: Callable[[], None], limit: asyncio.Timeout
    ) -> None:
        """Feed the answer until it needs no more. Only text extends the time limit, not comments or empty events."""
        clock = asyncio.get_running_loop().time
        async with aclosing(_uncompressed(response)) as chunks:
            async for chunk in chunks:
                known = answer.characters
                answer.feed(chunk)
                if answer.done:
                    return
                if answer.has_finish_reason:
                    limit.reschedule(clock() + COUNT_SECONDS)
                elif answer.characters > known:
                    alive()
                    limit.reschedule(clock() + self._seconds * BETWEEN_SHARE)
        answer.close()

    def _learned(self, status: int, body: bytes, request: CompletionRequest, without: frozenset[str]) -> str | None:
        """The field for which the server refused the request; None for another reason. It is left out from now on.

        `without` are the fields that the request left out. Requests in flight together are refused for the same one.
        """
        field = refused_field(body, request.extra) if status in _PAGE_REFUSED else None
        if field is None or field in without:
            return None
        if field not in self._unknown_fields:
            log.info("request_field_left_out", field=field)
            self._unknown_fields |= {field}
        return field

    def _fault(self, response: httpx.Response, body: bytes, number: int) -> Exception:
        """The error that a status other than 200 means. The body may quote anything, so no error or log quotes it."""
        status = response.status_code
        wait = retry_after_seconds(response.headers.get("Retry-After", ""), time.time()) or 0.0
        if status in _BUSY:
            self._throttle.decrease(number)
            log.info("server_busy", status=status, requests_allowed=self._throttle.limit)
            return RequestFault(f"is busy ({status})", away=True, wait=wait)
        if status == 408 or status >= 500:
            return RequestFault(f"answers with an error ({status})", away=False, wait=wait)
        if status in _PAGE_REFUSED and number:
            return Untranscribable(f"The server refuses this page ({status}).")
        if status in (401, 403):
            return EngineUnavailable(f"The server refuses the key ({status}); correct OPENAI_API_KEY.")
        if status == 404:
            return EngineUnavailable("The server has no such model or path (404); see OPENAI_MODEL, OPENAI_BASE_URL.")
        if status < 400:
            return EngineUnavailable(f"The server redirects ({status}); set OPENAI_BASE_URL to where it redirects to.")
        return EngineUnavailable(f"The server refuses all requests ({status}); its own log says why.")


def _open(settings: OpenAiSettings) -> httpx.AsyncClient:
    """A client for the server. Raises `EngineUnavailable`, whose message quotes no setting: each may hold a secret."""
    key = settings.openai_api_key
    headers = {"Accept-Encoding": "identity", "Content-Type": "application/json"}
    if key:
        if not key.isascii() or not key.isprintable() or " " in key:
            raise EngineUnavailable("OPENAI_API_KEY holds characters that no key has; copy it again.")
        headers["Authorization"] = f"Bearer {key}"
    try:
        url = httpx.URL(settings.openai_base_url)
        if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.query or url.fragment:
            raise ValueError
        return httpx.AsyncClient(
            base_url=url,
            headers=headers,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=settings.openai_concurrency),
            # httpx counts its read time-out anew with every byte; `_receive` and `complete` keep the other limits.
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
        )
    # ImportError: the environment names a proxy whose protocol needs a package that is not installed.
    except (httpx.InvalidURL, ValueError, ImportError) as error:
        # A ValueError may quote the address with its password; it must not show in a traceback.
        raise EngineUnavailable(
            "OPENAI_BASE_URL has to be like http://127.0.0.1:8000/v1, without user, password or query."
        ) from (None if isinstance(error, ValueError) else error)


async def _uncompressed(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """The body's chunks. Raises `ProtocolError` for a compressed body: it may expand a thousandfold."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise ProtocolError("packs its answers, though asked not to")
    async with _raw_chunks(response) as chunks:
        async for chunk in chunks:
            yield chunk


def _raw_chunks(response: httpx.Response) -> "aclosing[AsyncGenerator[bytes, None]]":
    # Typed as an iterator by httpx, it is a generator, and must be closed before the response if it is left early.
    return aclosing(cast("AsyncGenerator[bytes, None]", response.aiter_raw()))


async def _body(response: httpx.Response) -> bytes:
    """The start of the body, `MAX_BODY_BYTES` at most."""
    body = b""
    async with _raw_chunks(response) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) >= MAX_BODY_BYTES:
                break
    return body[:MAX_BODY_BYTES]
