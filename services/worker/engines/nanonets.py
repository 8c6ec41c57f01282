"""Nanonets-OCR-s, or another fine-tune of Qwen2.5-VL that MODEL_NAME names, run in this process on GPU or CPU."""

import asyncio
from collections.abc import Callable

import msgspec
import structlog
import torch

from services.worker.engines.context import EngineContext, ModelFiles
from services.worker.engines.engine import EngineInfo, EngineUnavailable, unheard
from services.worker.engines.picture import Pixels
from services.worker.engines.profiles import catalogue, nanonets, plain
from services.worker.engines.profiles.profile import Profile
from services.worker.engines.qwen.assembly import Assembly, assemble
from services.worker.engines.qwen.device import choose_device, describe
from services.worker.engines.qwen.thread import DecoderThread
from services.worker.engines.settings import OpenAiSettings
from services.worker.engines.transcriber import Ending, Sampling, Transcript

log = structlog.get_logger()

NAME = "nanonets"
#: Of a model of the family that has no profile of its own.
UNKNOWN = msgspec.structs.replace(plain.PROFILE, limits=nanonets.LIMITS)


class ModelTranscriber:
    """A `Transcriber` that runs the model in this process."""

    def __init__(self, context: EngineContext) -> None:
        self._context = context
        self._info = EngineInfo(name=NAME, revision="none", device="none")
        self._profile = UNKNOWN
        self._assembly: Assembly | None = None
        self._thread: DecoderThread | None = None

    async def load(self) -> None:
        """Download the model where its files are missing, and load it. Raises `EngineUnavailable`."""
        if self._context.model is None:
            raise EngineUnavailable("The engine nanonets needs a model, and this process has no way to one.")
        await asyncio.to_thread(self._load, await self._context.model())

    def info(self) -> EngineInfo:
        """The model, the revision of its files, the device, and how it computes there; `none` before `load`."""
        return self._info

    @property
    def profile(self) -> Profile:
        """The model's, known after `load`."""
        return self._profile

    @property
    def slots(self) -> int:
        """Pages written at a time, and an eighth more that wait, decoded and scaled, for the next free slot."""
        slots = self._assembly.decoder.slots if self._assembly else 1
        return slots + max(1, slots // 8)

    async def transcribe(self, pixels: Pixels, sampling: Sampling, alive: Callable[[], None] = unheard) -> Transcript:
        """The page as the model writes it. Raises `Untranscribable`."""
        assert self._assembly and self._thread, "load() comes first"
        page = await asyncio.to_thread(self._assembly.decoder.prepare, pixels, sampling)
        generation = await self._thread.write(page, sampling, alive)
        text = self._assembly.checkpoint.decode(generation.tokens)
        height, width = self._profile.limits.target_size(pixels, sampling.scale)
        return Transcript(
            text=text,
            ending=generation.ending or Ending.LENGTH,
            tokens=len(generation.tokens),
            shown=(width, height),
        )

    def _load(self, files: ModelFiles) -> None:
        device = choose_device()
        if device.type == "cpu" and self._context.settings.ocr_threads:
            torch.set_num_threads(self._context.settings.ocr_threads)
        # OPENAI_MAX_SIDE and OPENAI_FIELDS say what a server is sent.
        settings = msgspec.structs.replace(self._context.settings, openai=OpenAiSettings())
        self._profile = catalogue.choose(files.name, settings, unknown=UNKNOWN)
        self._assembly = assemble(files.folder, self._profile, settings, device)
        self._thread = DecoderThread(self._assembly.decoder)
        decoder = self._assembly.decoder
        self._info = EngineInfo(
            name=NAME,
            revision=f"{files.name}@{files.revision}",
            device=describe(device),
            execution=decoder.execution,
        )
        log.info(
            "model_loaded",
            model=files.name,
            profile=self._profile.name,
            device=self._info.device,
            slots=decoder.slots,
            **msgspec.to_builtins(decoder.execution),
        )
