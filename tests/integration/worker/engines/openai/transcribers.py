"""A transcriber of the emulated server, and what it is asked to read."""

import numpy as np

from services.worker.engines.openai import OpenAiTranscriber
from services.worker.engines.picture import Pixels
from services.worker.engines.settings import EngineSettings, OpenAiSettings
from services.worker.engines.transcriber import Sampling

KEY = "sk-emulated-0123456789"
PAGE: Pixels = np.full((60, 40, 3), 255, np.uint8)
TEXT = "# A page\n\nThe picture is 40 pixels wide and 60 high. ☑ Größe 😀\n"
SAMPLING = Sampling(max_tokens=400)

# Far more than any answer takes on a busy machine.
SECONDS = 60.0


async def loaded(
    made: list[OpenAiTranscriber],
    url: str,
    *,
    key: str = KEY,
    model: str = "",
    concurrency: int = 8,
    seconds: float = SECONDS,
    max_side: int = 2048,
) -> OpenAiTranscriber:
    settings = OpenAiSettings(
        openai_base_url=url,
        openai_api_key=key,
        openai_model=model,
        openai_concurrency=concurrency,
        openai_timeout_seconds=seconds,
        openai_max_side=max_side,
    )
    made.append(OpenAiTranscriber(EngineSettings(openai=settings)))
    await made[-1].load()
    return made[-1]
