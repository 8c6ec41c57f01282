"""The type of the weights, by what a card computes with."""

import pytest
import torch

from services.worker.engines.qwen.device import dtype_of


@pytest.mark.parametrize(
    ("capability", "dtype"),
    [
        ((7, 0), torch.float16),  # V100
        ((7, 5), torch.float16),  # T4
        ((8, 0), torch.bfloat16),  # A100
        ((8, 9), torch.bfloat16),  # L4
        ((9, 0), torch.bfloat16),  # H100
        ((12, 0), torch.bfloat16),
        (None, torch.float32),  # a CPU
    ],
)
def test_a_card_without_bfloat16_gets_float16(capability: tuple[int, int] | None, dtype: torch.dtype) -> None:
    assert dtype_of(capability) is dtype
