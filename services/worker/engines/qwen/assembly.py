"""A loaded model and its decoder, put together within the memory that is available."""

from functools import partial
from pathlib import Path

import msgspec
import torch

from services.worker.engines.engine import EngineUnavailable
from services.worker.engines.guard.repetition import ends_in_loop
from services.worker.engines.profiles.profile import Profile
from services.worker.engines.qwen import checkpoint as checkpoints
from services.worker.engines.qwen import memory
from services.worker.engines.qwen.checkpoint import Checkpoint
from services.worker.engines.qwen.decoder import Decoder
from services.worker.engines.qwen.device import (
    available_beside,
    available_bytes,
    choose_dtype,
    describe,
    disable_cudnn_attention,
)
from services.worker.engines.qwen.page import make_prompt
from services.worker.engines.qwen.reference import ReferenceDecoder
from services.worker.engines.qwen.slots import SlotDecoder
from services.worker.engines.qwen.text import TextTower
from services.worker.engines.qwen.vision import VisionTower
from services.worker.engines.settings import EngineSettings

# Slots on a CPU where none are set. Chosen: more gain little, and each takes memory.
_CPU_SLOTS = 4


class Assembly(msgspec.Struct, frozen=True, kw_only=True):
    """The decoder that writes pages, and the checkpoint that turns tokens into text."""

    checkpoint: Checkpoint
    decoder: Decoder


def assemble(folder: Path, profile: Profile, settings: EngineSettings, device: torch.device) -> Assembly:
    """Load the model in `folder`, which is of the profile's family. Raises `EngineUnavailable`."""
    disable_cudnn_attention()
    dtype = choose_dtype(device)
    limits = profile.limits
    description = checkpoints.read_description(folder)
    prompt = make_prompt(description.processor, profile.prompt, image_first=profile.image_first)
    cost = memory.cost(
        description.config,
        weights=description.parameters * dtype.itemsize,
        itemsize=dtype.itemsize,
        visual_tokens=limits.max_visual_tokens,
        prompt_tokens=len(prompt),
    )
    plan = partial(
        memory.plan,
        cost,
        capacity=limits.max_visual_tokens + len(prompt) + settings.model_max_tokens + memory.STEPS_PER_POLL,
        requested_slots=_requested_slots(settings, device),
        device_name=describe(device),
    )
    # Before gigabytes are read: a GPU that is too small is reported at once.
    capacity = plan(available=available_bytes(device)).capacity
    checkpoint = checkpoints.load(folder, description, device, dtype)

    def is_loop(tokens: list[int]) -> bool:
        return ends_in_loop(tokens, lambda part: checkpoint.decode(list(part)))

    if settings.ocr_decoder == "reference":
        reference = ReferenceDecoder(
            checkpoint, prompt=profile.prompt, limits=limits, is_loop=is_loop, image_first=profile.image_first
        )
        return Assembly(checkpoint=checkpoint, decoder=reference)
    images = checkpoint.processor.image_processor
    vision = VisionTower(checkpoint.model.model.visual, mean=images.image_mean, std=images.image_std)
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
            eos_token_ids=checkpoint.eos_token_ids,
            is_loop=is_loop,
        )
    except torch.OutOfMemoryError as error:
        raise EngineUnavailable(
            f"The GPU's memory does not hold {slots} pages at once. Lower OCR_SLOTS, or stop what else uses it."
        ) from error
    return Assembly(checkpoint=checkpoint, decoder=decoder)


def _requested_slots(settings: EngineSettings, device: torch.device) -> int:
    """Slots by the settings; 0 for as many as fit."""
    if settings.ocr_decoder == "reference":
        return 1
    return settings.ocr_slots or (_CPU_SLOTS if device.type == "cpu" else 0)
