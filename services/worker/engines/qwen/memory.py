"""How many slots the memory holds, decided before anything is loaded."""

from typing import Any

import msgspec

from services.worker.engines.engine import EngineUnavailable

#: Decoding steps between two copies of the written tokens to the host. Steps go on after a page's end until the next
#: copy, so a slot has room for so many tokens more. Chosen: more waste work at the end of pages, fewer make the GPU
#: wait.
STEPS_PER_POLL = 8

#: Slots that are taken where none are set. Chosen by estimate: on an H100 128 slots write 1.15 times the tokens of 64.
#: More gain little, since a step then spends most of its time on the slots' own keys and values.
MAX_SLOTS = 128
GIB = 1024**3
# Memory left free for fragments that the allocator cannot use, graphs and the libraries' workspaces: once, and as a
# share of what is available. Chosen, not measured on a GPU.
_RESERVE_BYTES = GIB // 2
_RESERVE_SHARE = 0.05
# Values of the vision tower's hidden size that a patch has in single precision (4 bytes) at a layer's peak, besides
# eight in the weights' type.
_SINGLE_PRECISION_VALUES = 4


class ModelCost(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that a model takes."""

    #: Once.
    weights: int
    #: Keys and values of one token in a slot.
    token: int
    #: At the peak of the prefill of the largest page.
    prefill: int
    #: Logits of one slot.
    logits: int


class MemoryPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The slots that fit."""

    slots: int
    #: Tokens of each slot.
    capacity: int
    #: What all of it takes, weights included.
    bytes: int


def cost(config: Any, *, weights: int, itemsize: int, visual_tokens: int, prompt_tokens: int) -> ModelCost:
    """The cost of a model of `config` whose weights take so many bytes, at `itemsize` bytes a value.

    `visual_tokens` and `prompt_tokens` are the largest page's. The peak of its prefill is that of the tensors that live
    at the same time in a layer of either tower, whichever takes more (`test_device_work` compares it with torch's).
    """
    text, vision = config.text_config, config.vision_config
    head_dim = text.hidden_size // text.num_attention_heads
    patches = visual_tokens * vision.spatial_merge_size**2
    patch_values = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    vision_peak = patches * (
        vision.hidden_size * (8 * itemsize + _SINGLE_PRECISION_VALUES * 4)
        + vision.intermediate_size * 3 * itemsize
        + patch_values * (4 + 4 + itemsize)
    )
    length = visual_tokens + prompt_tokens
    text_peak = length * (text.hidden_size * 10 * itemsize + text.intermediate_size * 4 * itemsize)
    return ModelCost(
        weights=weights,
        token=2 * text.num_hidden_layers * text.num_key_value_heads * head_dim * itemsize,
        prefill=max(vision_peak, text_peak),
        logits=text.vocab_size * (itemsize + 4),
    )


def plan(cost: ModelCost, *, available: int, capacity: int, requested_slots: int, device_name: str) -> MemoryPlan:
    """Slots of `capacity` tokens in `available` bytes: the number requested, or for 0 as many as fit, to `MAX_SLOTS`.

    Raises `EngineUnavailable` where not even one slot fits, or fewer than requested; the message names the device.
    """
    usable = int(available * (1 - _RESERVE_SHARE)) - _RESERVE_BYTES
    slot = cost.token * capacity + cost.logits
    room = usable - cost.weights - cost.prefill
    fitting = max(0, room // slot)
    needed = cost.weights + cost.prefill + slot * max(1, requested_slots)
    if fitting < max(1, requested_slots):
        asked = f"{requested_slots} pages at once need" if requested_slots else "The model needs"
        remedy = "Lower OCR_SLOTS, MODEL_MAX_PIXELS or MODEL_MAX_TOKENS" if fitting else "Lower MODEL_MAX_PIXELS"
        raise EngineUnavailable(
            f"{asked} about {_gib(needed + available - usable)} of memory, and {device_name} has {_gib(available)} to "
            f"give ({_gib(cost.weights)} for weights, {_gib(cost.prefill)} to read a page, {_gib(slot)} for each page "
            f"being written). {remedy}, take a smaller model, or a machine with more memory."
        )
    slots = min(requested_slots or MAX_SLOTS, fitting)
    return MemoryPlan(slots=slots, capacity=capacity, bytes=cost.weights + cost.prefill + slot * slots)


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
