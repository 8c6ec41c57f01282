"""Any vision model behind a server that speaks OpenAI's chat completions: vLLM, llama.cpp, a hosted one.

Pages leave this machine, and the server's answers are not trusted (`chat.completion`).
"""

import asyncio
import io
from collections.abc import Callable

import structlog
from PIL import Image

from services.worker.engines.chat.client import ChatClient
from services.worker.engines.chat.completion import CompletionRequest
from services.worker.engines.chat.retry import request_with_retries
from services.worker.engines.engine import EngineInfo, EngineUnavailable, unheard
from services.worker.engines.picture import Pixels
from services.worker.engines.prompt import PROMPT
from services.worker.engines.settings import EngineSettings
from services.worker.engines.transcriber import Sampling, Transcript

log = structlog.get_logger()

NAME = "openai"
#: Bytes of a PNG above which the page is sent as a JPEG. Chosen: pages of text stay lossless, photographs do not fill
#: the network or a server's limit on requests.
MAX_PNG_BYTES = 4_000_000
#: Pillow's scale from 1 to 95. Chosen: high enough that edges of small print show no artefacts.
JPEG_QUALITY = 92
#: Pixels: a side of one visual token of Qwen2.5-VL, below which there is nothing to see.
MIN_SIDE = 28


class OpenAiTranscriber:
    """A `Transcriber` that asks a server."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings.openai
        self._seconds = self._settings.openai_timeout_seconds
        self._prompt = settings.ocr_prompt or PROMPT
        self._model = self._settings.openai_model
        self._client = ChatClient(self._settings)

    @property
    def slots(self) -> int:
        """Pages that may be requested at a time."""
        return self._settings.openai_concurrency

    def info(self) -> EngineInfo:
        """The model's name; a server does not tell the revision of its files."""
        return EngineInfo(name=NAME, revision=self._model or "unknown", device="remote")

    async def load(self) -> None:
        """Choose the model, and wait for the server where it is not up yet. Raises `EngineUnavailable`."""
        await self._client.open()
        try:
            listed = await request_with_retries(self._client.models, seconds=self._seconds)
            if not self._model and len(listed) != 1:
                raise EngineUnavailable(f"The server lists {len(listed)} models; set OPENAI_MODEL to the one to use.")
        except EngineUnavailable:
            await self.close()
            raise
        self._model = self._model or listed[0]
        if listed and self._model not in listed:
            log.warning("model_not_listed", model=self._model)  # not an error: servers accept aliases

    async def transcribe(self, pixels: Pixels, sampling: Sampling, alive: Callable[[], None] = unheard) -> Transcript:
        """The page as the server's model writes it. Raises `Untranscribable`, `ServerFault`, `EngineUnavailable`."""
        image = await asyncio.to_thread(_encode, pixels, self._settings.openai_max_side, sampling.scale)
        request = CompletionRequest(model=self._model, prompt=self._prompt, image=image, sampling=sampling)
        return await request_with_retries(
            lambda deadline: self._client.complete(request, alive, deadline), seconds=self._seconds
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def _encode(pixels: Pixels, max_side: int, scale: float) -> bytes:
    """The page scaled to `max_side` pixels at most and then by `scale`, as a PNG, or a JPEG where that is too large."""
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
