"""How many pages at once the memory holds, decided before anything is loaded."""

from typing import Any

import msgspec

from services.worker.engines.engine import EngineUnavailable

POLL = 8
"""Steps between two looks at what was written; a page may be written on for so many tokens after its end."""

MAX_SLOTS = 64
GIB = 1024**3
# What the allocator cannot use, graphs, and the libraries' workspaces.
_RESERVE_BYTES = GIB // 2
_RESERVE_SHARE = 0.05
# Numbers of single precision that a patch passes through beside those of the weights' own.
_EXACT = 4


class ModelCost(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that a model takes: once; for a token of a slot; while the largest page is read; for a slot's logits."""

    weights: int
    token: int
    page: int
    logits: int


class MemoryPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How many slots there are, and of how many tokens each; `bytes` is what all of it takes, weights included."""

    slots: int
    capacity: int
    bytes: int


def cost(config: Any, *, weights: int, item: int, visual_tokens: int, prompt_tokens: int) -> ModelCost:
    """The cost of a model of `config` whose weights take so many bytes, at `item` bytes a number.

    `visual_tokens` and `prompt_tokens` are the largest page's. What reading it takes at its peak follows the tensors
    that live at the same time in a layer of either tower, whichever takes more.
    """
    text, vision = config.text_config, config.vision_config
    size = text.hidden_size // text.num_attention_heads
    patches = visual_tokens * vision.spatial_merge_size**2
    patch_values = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    seeing = patches * (
        vision.hidden_size * (8 * item + _EXACT * 4)
        + vision.intermediate_size * 3 * item
        + patch_values * (4 + 4 + item)
    )
    length = visual_tokens + prompt_tokens
    reading = length * (text.hidden_size * 10 * item + text.intermediate_size * 4 * item)
    return ModelCost(
        weights=weights,
        token=2 * text.num_hidden_layers * text.num_key_value_heads * size * item,
        page=max(seeing, reading),
        logits=text.vocab_size * (item + 4),
    )


def plan(cost: ModelCost, *, available: int, capacity: int, wanted: int, place: str) -> MemoryPlan:
    """Slots for `available` bytes: as many as were `wanted`, or as fit (0: up to `MAX_SLOTS`).

    `place` is what to call the memory. Raises `EngineUnavailable` where not even one page fits, or not the wanted.
    """
    usable = int(available * (1 - _RESERVE_SHARE)) - _RESERVE_BYTES
    slot = cost.token * capacity + cost.logits
    room = usable - cost.weights - cost.page
    fitting = max(0, room // slot)
    needed = cost.weights + cost.page + slot * max(1, wanted)
    if fitting < max(1, wanted):
        asked = f"{wanted} pages at once need" if wanted else "The model needs"
        remedy = "Lower OCR_SLOTS, MODEL_MAX_PIXELS or MODEL_MAX_TOKENS" if fitting else "Lower MODEL_MAX_PIXELS"
        raise EngineUnavailable(
            f"{asked} about {_gib(needed + available - usable)} of memory, and {place} has {_gib(available)} to give "
            f"({_gib(cost.weights)} for weights, {_gib(cost.page)} to read a page, {_gib(slot)} for each page being "
            f"written). {remedy}, take a smaller model, or a machine with more memory."
        )
    slots = min(wanted or MAX_SLOTS, fitting)
    return MemoryPlan(slots=slots, capacity=capacity, bytes=cost.weights + cost.page + slot * slots)


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
