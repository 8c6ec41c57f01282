"""The engines' settings (R61); each engine uses its own part."""

from typing import Annotated, Literal

from msgspec import Meta

from libs.config import Settings

# The upper limit refuses typing errors. Chosen.
Tokens = Annotated[int, Meta(ge=1, le=131072)]
# Of the image that the model sees. A visual token of Qwen2.5-VL is a square of 28 x 28 pixels (2 x 2 patches of 14).
ModelPixels = Annotated[int, Meta(ge=28 * 28, le=64_000_000)]


Temperature = Annotated[float, Meta(ge=0, le=2)]


class OpenAiSettings(Settings, frozen=True, kw_only=True):
    """Of a server with OpenAI's protocol."""

    openai_base_url: str = ""
    openai_api_key: str = ""
    openai_model: str = ""
    openai_concurrency: Annotated[int, Meta(ge=1, le=1024)] = 8
    openai_timeout_seconds: Annotated[float, Meta(gt=0, le=3600)] = 100.0
    openai_max_side: Annotated[int, Meta(ge=256, le=16384)] | None = None
    openai_fields: str = ""


class EngineSettings(Settings, frozen=True, kw_only=True):
    """Each field is the environment variable of the same name in capitals; `.env.example` describes them."""

    ocr_threads: Annotated[int, Meta(ge=0, le=256)] = 0
    ocr_languages: str = "eng"
    ocr_model_folder: str = ""
    ocr_decoder: Literal["auto", "fast", "reference"] = "auto"
    ocr_profile: str = ""
    ocr_prompt: str = ""
    ocr_slots: Annotated[int, Meta(ge=0, le=256)] = 0
    # Where they are None, the model's profile says (`profiles`).
    model_min_pixels: ModelPixels | None = None
    model_max_pixels: ModelPixels | None = None
    model_temperature: Temperature | None = None
    model_max_tokens: Tokens = 8192
    trust_check: Literal["auto", "layer", "engine", "off"] = "auto"
    openai: OpenAiSettings = OpenAiSettings()
