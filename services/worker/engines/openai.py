"""Any vision model behind a server that speaks OpenAI's chat completions: vLLM, llama.cpp, a hosted one.

Pages leave this machine, and the server's answers are not trusted (`chat.completion`).
"""

import asyncio
import io
from collections.abc import Callable

import msgspec
import structlog
from PIL import Image

from services.worker.engines.chat.client import ChatClient
from services.worker.engines.chat.completion import CompletionRequest
from services.worker.engines.chat.retry import request_with_retries
from services.worker.engines.engine import EngineInfo, EngineUnavailable, unheard
from services.worker.engines.picture import Pixels
from services.worker.engines.profiles import catalogue
from services.worker.engines.profiles.profile import Profile
from services.worker.engines.settings import EngineSettings
from services.worker.engines.transcriber import Sampling, Transcript

log = structlog.get_logger()

NAME = "openai"
#: Bytes of a PNG above which the page is sent as a JPEG. Chosen: pages of text stay lossless, photographs do not fill
#: the network or a server's limit on requests.
MAX_PNG_BYTES = 4_000_000
#: Pillow's scale from 1 to 95. Chosen: high enough that edges of small print show no artefacts.
JPEG_QUALITY = 92


class OpenAiTranscriber:
    """A `Transcriber` that asks a server."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._seconds = settings.openai.openai_timeout_seconds
        self._model = settings.openai.openai_model
        self._profile = catalogue.choose(self._model, settings)
        self._client = ChatClient(settings.openai)

    @property
    def profile(self) -> Profile:
        """The model's: by the name that is set, or that the server lists."""
        return self._profile

    @property
    def slots(self) -> int:
        """Pages that may be requested at a time."""
        return self._settings.openai.openai_concurrency

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
        self._profile = catalogue.choose(self._model, self._settings)
        log.info("profile_chosen", model=self._model, profile=self._profile.name)

    async def transcribe(self, pixels: Pixels, sampling: Sampling, alive: Callable[[], None] = unheard) -> Transcript:
        """The page as the server's model writes it. Raises `Untranscribable`, `ServerFault`, `EngineUnavailable`."""
        profile = self._profile
        height, width = profile.limits.target_size(pixels, sampling.scale)
        image = await asyncio.to_thread(_encode, pixels, height, width)
        request = CompletionRequest(
            model=self._model,
            prompt=profile.prompt,
            image=image,
            sampling=sampling,
            extra=profile.fields,
            image_first=profile.image_first,
        )
        transcript = await request_with_retries(
            lambda deadline: self._client.complete(request, alive, deadline), seconds=self._seconds
        )
        return msgspec.structs.replace(transcript, shown=(width, height))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def _encode(pixels: Pixels, height: int, width: int) -> bytes:
    """The page at this size, as a PNG, or a JPEG where that is too large."""
    image = Image.fromarray(pixels)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    if buffer.tell() > MAX_PNG_BYTES:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()
