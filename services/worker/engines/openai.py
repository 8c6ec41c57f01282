"""Any vision model behind a server that speaks OpenAI's chat completions: vLLM, llama.cpp, a hosted one.

Pages leave this machine, and what comes back is not believed (`completion`). A server that is away, busy or refuses the
key is no page's fault: that is `EngineUnavailable`, and the pages wait. Whatever goes wrong with a request that the
server has begun on may be the page's doing, and is a `ServerFault` in the end.
"""

import asyncio
import io
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import cast

import httpx
import msgspec
import structlog
from PIL import Image

from services.worker.engines.chat.completion import Answer, BadAnswer, models, refused_field, request
from services.worker.engines.chat.retry import Again, persist
from services.worker.engines.chat.throttle import Throttle
from services.worker.engines.engine import EngineInfo, EngineUnavailable, unheard
from services.worker.engines.picture import Pixels
from services.worker.engines.prompt import PROMPT
from services.worker.engines.settings import EngineSettings
from services.worker.engines.transcriber import Sampling, Transcript, Untranscribable

log = structlog.get_logger()

NAME = "openai"
CONNECT_SECONDS = 10.0
# Of the time for a page: how long its first word may take, and each further piece.
FIRST, BETWEEN = 1 / 2, 1 / 5
# After the last word: for the count of the tokens.
COUNT_SECONDS = 2.0
# What a server may say when it refuses something, or lists its models.
MAX_SAID_BYTES = 1 << 20
# Larger than this, a page is sent as a JPEG.
MAX_PNG_BYTES = 4_000_000
JPEG_QUALITY = 92
MIN_SIDE = 28

_BUSY = {429, 503, 529}
# Servers without a list of models, and some that trip over their own.
_WITHOUT_A_LIST = {404, 405, 500, 501}
_OF_THE_PAGE = {400, 413, 415, 422}


class OpenAiTranscriber:
    """A `Transcriber` that asks a server."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings.openai
        self._seconds = self._settings.openai_timeout_seconds
        self._prompt = settings.ocr_prompt or PROMPT
        self._model = self._settings.openai_model
        self._throttle = Throttle(self.slots)
        self._without: frozenset[str] = frozenset()
        self._client: httpx.AsyncClient | None = None

    @property
    def slots(self) -> int:
        """As many pages as may be asked for at once."""
        return self._settings.openai_concurrency

    def info(self) -> EngineInfo:
        """The model by its name; which revision of it the server has, nobody can tell."""
        return EngineInfo(name=NAME, revision=self._model or "unknown", device="remote")

    async def load(self) -> None:
        """Ask the server for its models, and wait for it where it is not up yet. Raises `EngineUnavailable`."""
        await self.close()
        self._client = _client(self._settings.openai_base_url, self._settings.openai_api_key, self.slots)
        try:
            listed = await persist(self._models, seconds=self._seconds)
            if not self._model and len(listed) != 1:
                raise EngineUnavailable(f"The server lists {len(listed)} models; set OPENAI_MODEL to the one to use.")
        except EngineUnavailable:
            await self.close()
            raise
        self._model = self._model or listed[0]
        if listed and self._model not in listed:
            log.warning("model_not_listed", model=self._model)  # it may go by a second name

    async def transcribe(self, pixels: Pixels, sampling: Sampling, alive: Callable[[], None] = unheard) -> Transcript:
        """The page as the server's model writes it. Raises `Untranscribable`, `ServerFault`, `EngineUnavailable`."""
        image = await asyncio.to_thread(_encoded, pixels, self._settings.openai_max_side, sampling.scale)
        return await persist(lambda deadline: self._ask(image, sampling, alive, deadline), seconds=self._seconds)

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _models(self, deadline: float) -> tuple[str, ...]:
        assert self._client
        try:
            async with asyncio.timeout_at(deadline), self._client.stream("GET", "models") as response:
                said = await _said(response)
        except (httpx.HTTPError, TimeoutError) as error:
            raise Again("cannot be reached", away=True) from error
        if response.status_code == 200:
            return models(said)
        if response.status_code in _WITHOUT_A_LIST:
            return ()
        if (
            response.status_code == 408 or response.status_code > 501
        ):  # what stands before the server is there, and it is not
            raise Again(f"is not up ({response.status_code})", away=True)
        raise self._refusal(response, said, 0)

    async def _ask(self, image: bytes, sampling: Sampling, alive: Callable[[], None], deadline: float) -> Transcript:
        """One request. Raises `Again`, `Untranscribable`, `EngineUnavailable`."""
        clock = asyncio.get_running_loop().time
        moment, began = 0, clock()
        try:
            async with asyncio.timeout_at(deadline), self._throttle as moment:
                began = clock()
                return await self._converse(image, sampling, alive, moment)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            raise Again("cannot be reached", away=True) from error
        except TimeoutError as error:
            self._throttle.too_many(moment)
            hurried = not moment or deadline - began < self._seconds * FIRST
            raise Again("gives no answer in time", away=hurried) from error
        except httpx.HTTPError as error:
            raise Again("breaks the connection off", away=False) from error
        except BadAnswer as error:
            raise Again(str(error), away=False) from error

    async def _converse(self, image: bytes, sampling: Sampling, alive: Callable[[], None], moment: int) -> Transcript:
        assert self._client, "load() comes first"
        body = msgspec.json.encode(request(self._model, self._prompt, image, sampling, without=self._without))
        answer = Answer(sampling.max_tokens)
        try:
            async with (
                asyncio.timeout(self._seconds * FIRST) as limit,
                self._client.stream("POST", "chat/completions", content=body) as response,
            ):
                if response.status_code != 200:
                    raise self._refusal(response, await _said(response), moment)
                await self._listen(response, answer, alive, limit)
        except TimeoutError:
            if not answer.complete:
                raise
        text, ending, tokens = answer.transcript()
        self._throttle.went_well()
        return Transcript(text=text, ending=ending, tokens=tokens)

    async def _listen(
        self, response: httpx.Response, answer: Answer, alive: Callable[[], None], limit: asyncio.Timeout
    ) -> None:
        """Take in what comes until it is enough. Each piece of text, and nothing else, gives the next one time."""
        clock = asyncio.get_running_loop().time
        async with aclosing(_raw(response)) as pieces:
            async for piece in pieces:
                known = answer.characters
                answer.feed(piece)
                if answer.done:
                    return
                if answer.complete:
                    limit.reschedule(clock() + COUNT_SECONDS)
                elif answer.characters > known:
                    alive()
                    limit.reschedule(clock() + self._seconds * BETWEEN)
        answer.close()

    def _refusal(self, response: httpx.Response, said: bytes, moment: int) -> Exception:
        """What an answer other than 200 comes to. What the server said with it may hold anything: it is not told."""
        status = response.status_code
        if status in _BUSY:
            self._throttle.too_many(moment)
            log.info("server_busy", status=status, at_once=self._throttle.limit)
            return Again(f"is busy ({status})", away=True, wait=_retry_after(response))
        if status == 408 or status >= 500:
            return Again(f"answers with an error ({status})", away=False, wait=_retry_after(response))
        if status in _OF_THE_PAGE and moment:
            field = refused_field(said)
            if field is None or field in self._without:
                return Untranscribable(f"The server refuses this page ({status}).")
            log.info("field_left_out", field=field)
            self._without |= {field}
            return Again(f"does not know {field}", away=True)
        if status in (401, 403):
            return EngineUnavailable(f"The server refuses the key ({status}); correct OPENAI_API_KEY.")
        if status == 404:
            return EngineUnavailable("The server has no such model or path (404); see OPENAI_MODEL, OPENAI_BASE_URL.")
        if status < 400:
            return EngineUnavailable(f"The server sends us elsewhere ({status}); set OPENAI_BASE_URL to that place.")
        return EngineUnavailable(f"The server refuses all requests ({status}); its own log says why.")


def _client(base_url: str, key: str, slots: int) -> httpx.AsyncClient:
    """Raises `EngineUnavailable`, which does not quote what may be a secret."""
    headers = {"Accept-Encoding": "identity", "Content-Type": "application/json"}
    if key:
        if not key.isascii() or not key.isprintable() or " " in key:
            raise EngineUnavailable("OPENAI_API_KEY holds characters that no key has; copy it again.")
        headers["Authorization"] = f"Bearer {key}"
    try:
        url = httpx.URL(base_url)
        if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.query or url.fragment:
            raise ValueError
        return httpx.AsyncClient(
            base_url=url,
            headers=headers,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=slots),
            # The other times are kept by us: those of httpx begin anew with every byte.
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
        )
    except (
        httpx.InvalidURL,
        ValueError,
        ImportError,
    ) as error:  # ImportError: of a proxy's, which the environment names
        raise EngineUnavailable(
            "OPENAI_BASE_URL has to be like http://127.0.0.1:8000/v1, without user, password or query."
        ) from (None if isinstance(error, ValueError) else error)


async def _raw(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """The body as it comes. Raises `BadAnswer` for one that unpacking could make a thousand times as large."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise BadAnswer("packs its answers, though asked not to")
    async with _pieces(response) as pieces:
        async for piece in pieces:
            yield piece


def _pieces(response: httpx.Response) -> "aclosing[AsyncGenerator[bytes, None]]":
    # It is one, and has to be ended before the response where it is left early.
    return aclosing(cast("AsyncGenerator[bytes, None]", response.aiter_raw()))


async def _said(response: httpx.Response) -> bytes:
    """The first of the body."""
    said = b""
    async with _pieces(response) as pieces:
        async for piece in pieces:
            said += piece
            if len(said) >= MAX_SAID_BYTES:
                break
    return said[:MAX_SAID_BYTES]


def _retry_after(response: httpx.Response) -> float:
    """In seconds, from either form of the header (RFC 9110, 10.2.3)."""
    value = response.headers.get("Retry-After", "")
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0


def _encoded(pixels: Pixels, max_side: int, scale: float) -> bytes:
    """The page as it is sent: a PNG, or a JPEG where that would be large."""
    image = Image.fromarray(pixels)
    factor = min(1.0, max_side / max(image.size)) * scale
    if factor != 1.0:
        width, height = (max(MIN_SIDE, round(side * factor)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    if buffer.tell() > MAX_PNG_BYTES:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()
