"""A loaded model and what writes with it, put together within the memory there is."""

from functools import partial
from pathlib import Path

import msgspec
import torch

from services.worker.engines.engine import EngineUnavailable
from services.worker.engines.guard.repetition import ends_in_loop
from services.worker.engines.prompt import PROMPT
from services.worker.engines.qwen import checkpoint as checkpoints
from services.worker.engines.qwen import memory
from services.worker.engines.qwen.checkpoint import Checkpoint
from services.worker.engines.qwen.decoder import Decoder
from services.worker.engines.qwen.device import (
    available_beside,
    available_bytes,
    choose_dtype,
    describe,
    spare_plans,
)
from services.worker.engines.qwen.page import PixelLimits, make_prompt
from services.worker.engines.qwen.reference import ReferenceDecoder
from services.worker.engines.qwen.slots import SlotDecoder
from services.worker.engines.qwen.text import TextTower
from services.worker.engines.qwen.vision import VisionTower
from services.worker.engines.settings import EngineSettings

# On a CPU more pages at once gain little, and each takes its memory.
_CPU_SLOTS = 4


class Assembly(msgspec.Struct, frozen=True, kw_only=True):
    """What reads pages, and the checkpoint that tells their text from tokens."""

    checkpoint: Checkpoint
    decoder: Decoder


def assemble(folder: Path, settings: EngineSettings, device: torch.device) -> Assembly:
    """Load the model in `folder` as `settings` say. Raises `EngineUnavailable`."""
    spare_plans()
    dtype = choose_dtype(device)
    smallest = min(settings.model_min_pixels, settings.model_max_pixels)
    limits = PixelLimits(min_pixels=smallest, max_pixels=settings.model_max_pixels)
    request = settings.ocr_prompt or PROMPT
    blueprint = checkpoints.read(folder)
    prompt = make_prompt(blueprint.processor, request)
    cost = memory.cost(
        blueprint.config,
        weights=blueprint.parameters * dtype.itemsize,
        item=dtype.itemsize,
        visual_tokens=limits.max_visual_tokens,
        prompt_tokens=len(prompt),
    )
    plan = partial(
        memory.plan,
        cost,
        capacity=limits.max_visual_tokens + len(prompt) + settings.model_max_tokens + memory.POLL,
        wanted=_wanted(settings, device),
        place=describe(device),
    )
    # Before gigabytes are read, which is when a card too small is to be told.
    capacity = plan(available=available_bytes(device)).capacity
    checkpoint = checkpoints.load(folder, blueprint, device, dtype)

    def is_loop(tokens: list[int]) -> bool:
        return ends_in_loop(tokens, lambda part: checkpoint.text_of(list(part)))

    if settings.ocr_decoder == "reference":
        reference = ReferenceDecoder(checkpoint, prompt=request, limits=limits, is_loop=is_loop)
        return Assembly(checkpoint=checkpoint, decoder=reference)
    pictures = checkpoint.processor.image_processor
    vision = VisionTower(checkpoint.model.model.visual, mean=pictures.image_mean, std=pictures.image_std)
    text = TextTower(checkpoint.model, max_tokens=capacity)
    slots = plan(available=available_beside(cost.weights, device)).slots
    try:
        decoder = SlotDecoder(
            vision,
            text,
            slots=slots,
            capacity=capacity,
            limits=limits,
            prompt=prompt,
            stops=checkpoint.stops,
            is_loop=is_loop,
        )
    except torch.OutOfMemoryError as error:
        raise EngineUnavailable(
            f"The GPU's memory does not hold {slots} pages at once. Lower OCR_SLOTS, or stop what else uses it."
        ) from error
    return Assembly(checkpoint=checkpoint, decoder=decoder)


def _wanted(settings: EngineSettings, device: torch.device) -> int:
    """How many pages at once the settings ask for; 0 for as many as fit."""
    if settings.ocr_decoder == "reference":
        return 1
    return settings.ocr_slots or (_CPU_SLOTS if device.type == "cpu" else 0)
