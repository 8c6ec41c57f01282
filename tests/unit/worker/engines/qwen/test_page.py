"""Pages as the model takes them, against transformers' own processor and position code."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize
from transformers.vision_utils import get_vision_window_index

from services.worker.engines.pixel_limits import PixelLimits
from services.worker.engines.qwen.attention import sdpa_grouped
from services.worker.engines.qwen.page import Prompt
from services.worker.engines.qwen.vision import window_order
from services.worker.engines.transcriber import Untranscribable

LIMITS = PixelLimits(min_pixels=256 * 784, max_pixels=2944 * 784)
sides = st.integers(1, 30_000)


def page(height: int, width: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Of any size, and no memory."""
    return np.broadcast_to(np.zeros(1, dtype=np.uint8), (height, width, 3))


@given(sides, sides, st.sampled_from([0.7, 0.9, 1.0, 1.1, 1.4]))
def test_a_page_is_shown_within_the_limits_in_whole_tokens(height: int, width: int, scale: float) -> None:
    try:
        tall, wide = LIMITS.target_size(page(height, width), scale)
    except Untranscribable:
        assert max(height, width) / min(height, width) > 50
        return
    assert tall % 28 == wide % 28 == 0
    assert tall * wide // 784 <= LIMITS.max_visual_tokens
    assert tall * wide >= LIMITS.min_pixels


def test_a_letter_page_at_150_dpi_keeps_its_shape() -> None:
    tall, wide = LIMITS.target_size(page(1650, 1275))
    assert (tall, wide) == (1652, 1288)
    assert LIMITS.target_size(page(3300, 2550)) == LIMITS.target_size(page(6600, 5100))


@given(st.integers(1, 60), st.integers(1, 60))
def test_windows_are_those_of_transformers(rows: int, columns: int) -> None:
    index, bounds = get_vision_window_index(
        torch.tensor([[1, rows * 2, columns * 2]]), spatial_merge_size=2, window_size=112, patch_size=14
    )
    cuts = (bounds // 4).tolist()
    theirs = {tuple(sorted(index[a:b].tolist())) for a, b in itertools.pairwise(cuts)}
    made = window_order(rows, columns, 4)
    ours, start = set(), 0
    for count, size in made.groups:
        for _ in range(count):
            ours.add(tuple(sorted(made.order[start : start + size].tolist())))
            start += size
    assert ours == theirs
    assert sorted(made.order.tolist()) == list(range(rows * columns))
    assert len(made.groups) <= 4


def test_positions_go_on_after_the_longer_side_of_the_picture() -> None:
    prompt = Prompt(before=(1, 2), after=(3,), image_token_id=9)
    assert prompt.input_ids(6).tolist() == [1, 2, 9, 9, 9, 9, 9, 9, 3]
    assert prompt.position_ids(2, 3).tolist() == [
        [0, 1, 2, 2, 2, 2, 2, 2, 5],
        [0, 1, 2, 2, 2, 3, 3, 3, 5],
        [0, 1, 2, 3, 4, 2, 3, 4, 5],
    ]


@pytest.mark.parametrize(("num_heads", "num_kv_heads"), [(8, 2), (4, 4), (3, 1)])
def test_attention_over_slots_is_attention_over_what_each_slot_holds(num_heads: int, num_kv_heads: int) -> None:
    torch.manual_seed(0)
    keys, values = torch.randn(5, 40, num_kv_heads, 16), torch.randn(5, 40, num_kv_heads, 16)
    query, lengths = torch.randn(4, num_heads, 16), torch.tensor([1, 40, 7, 23])
    keys[0, 1:] = 1e4  # what is past a slot's length must not count
    attended = sdpa_grouped(lengths, keys.shape[1], 40)(query, keys, values)
    for row, length in enumerate(lengths.tolist()):
        alone = functional.scaled_dot_product_attention(
            query[row].unsqueeze(1),
            keys[row, :length].transpose(0, 1).repeat_interleave(num_heads // num_kv_heads, dim=0),
            values[row, :length].transpose(0, 1).repeat_interleave(num_heads // num_kv_heads, dim=0),
        )
        torch.testing.assert_close(attended[row], alone.squeeze(1))


@given(sides, sides)
def test_a_page_has_the_size_that_the_image_processor_gives_it(height: int, width: int) -> None:
    try:
        theirs = smart_resize(height, width, factor=28, min_pixels=LIMITS.min_pixels, max_pixels=LIMITS.max_pixels)
    except ValueError:
        with pytest.raises(Untranscribable):
            LIMITS.target_size(page(height, width))
        return
    assert LIMITS.target_size(page(height, width)) == theirs


def test_a_longer_side_is_reduced_to_the_limit_and_a_shorter_one_left() -> None:
    limits = PixelLimits(min_pixels=784, max_pixels=1288 * 1288, max_side=1288)
    assert limits.target_size(page(3508, 2480)) == (1288, 924)
    assert limits.target_size(page(644, 448)) == (644, 448)
