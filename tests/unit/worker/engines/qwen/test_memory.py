"""How many pages at once a card holds, for made-up cards and the real model's shape."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import Qwen2_5_VLConfig

from bench.engine.shapes import FULL
from services.worker.engines.engine import EngineUnavailable
from services.worker.engines.qwen.memory import GIB, MAX_SLOTS, ModelCost, cost, plan

BF16 = 2
SHAPE: dict[str, Any] = FULL
CONFIG = Qwen2_5_VLConfig(**SHAPE)
PARAMETERS = 3_754_622_976
VISUAL_TOKENS = 2944
CAPACITY = VISUAL_TOKENS + 200 + 8192


def real(itemsize: int = BF16, visual_tokens: int = VISUAL_TOKENS) -> ModelCost:
    return cost(
        CONFIG,
        weights=PARAMETERS * itemsize,
        itemsize=itemsize,
        visual_tokens=visual_tokens,
        prompt_tokens=200,
    )


def slots(available: int, *, wanted: int = 0, model: ModelCost | None = None) -> int:
    return plan(
        model or real(), available=available, capacity=CAPACITY, requested_slots=wanted, device_name="the card"
    ).slots


def test_a_token_costs_what_is_published_of_the_model() -> None:
    assert real().token == 36_864
    assert real().weights == pytest.approx(7.5e9, rel=0.01)


@pytest.mark.parametrize(
    ("card", "least", "most"),
    [(12, 2, 8), (16, 10, 18), (24, 30, 40), (48, 85, 100), (80, MAX_SLOTS, MAX_SLOTS)],
)
def test_cards_hold_as_many_pages_as_their_memory(card: int, least: int, most: int) -> None:
    assert least <= slots(card * GIB) <= most


def test_a_card_too_small_is_refused_with_figures_and_a_remedy() -> None:
    with pytest.raises(EngineUnavailable, match=r"needs about 9\.\d GiB .* the card has 8\.0 GiB.*MODEL_MAX_PIXELS"):
        slots(8 * GIB)


def test_more_pages_than_fit_are_refused_not_cut_down() -> None:
    assert slots(24 * GIB, wanted=8) == 8
    with pytest.raises(EngineUnavailable, match=r"64 pages at once need .* Lower OCR_SLOTS"):
        slots(24 * GIB, wanted=64)


def test_single_precision_takes_twice_the_card() -> None:
    with pytest.raises(EngineUnavailable):
        slots(12 * GIB, model=real(itemsize=4))
    assert slots(24 * GIB, model=real(itemsize=4)) < slots(24 * GIB)


@given(st.integers(0, 200 * GIB), st.integers(1, 16384), st.integers(0, 300))
def test_no_plan_takes_more_than_there_is(available: int, visual_tokens: int, wanted: int) -> None:
    model = real(visual_tokens=visual_tokens)
    try:
        made = plan(model, available=available, capacity=CAPACITY, requested_slots=wanted, device_name="the card")
    except EngineUnavailable:
        return
    assert made.bytes < available
    assert made.slots == wanted if wanted else 1 <= made.slots <= MAX_SLOTS


@given(st.integers(9 * GIB, 100 * GIB))
def test_a_larger_card_never_holds_fewer_pages(available: int) -> None:
    try:
        smaller = slots(available)
    except EngineUnavailable:
        return
    assert slots(available + GIB) >= smaller
