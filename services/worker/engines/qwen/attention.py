"""Attention of one new token in each slot over what its slot holds.

The family has far fewer KV heads than query heads (2 and 16 in the 3B model). Expanding them, as stock code does behind
a mask, multiplies the bytes read in the step that is bound by reading; neither way here expands anything.
"""

import logging
from collections.abc import Callable
from typing import Protocol

import structlog
import torch
from torch.nn import functional
from torch.nn.attention import varlen

log = structlog.get_logger()

TOLERANCE = 0.02
"""Most difference from the exact result, on unit-variance inputs, that a kernel in half precision is trusted with."""


# A split of a slot is read by one block of threads. Many short ones fill the GPU where few pages are written, and cost
# more to join where many are; torch's own choice takes every slot for full, so that most of its splits are empty.
_SPLIT_TOKENS = 512
_MOST_SPLITS = 128

LayerAttention = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Queries (batch, heads, size) over the first slots of keys and values, (slots, capacity, KV heads, size) both."""


class SlotAttention(Protocol):
    """A step's attention, made once for all of its layers.

    `lengths` (batch,) counts the tokens that each slot holds, of `capacity`; `context` is a bound to them that the host
    knows.
    """

    def __call__(self, lengths: torch.Tensor, capacity: int, context: int) -> LayerAttention: ...


def folded(lengths: torch.Tensor, capacity: int, context: int) -> LayerAttention:
    """On any device: the query heads that share a KV head stand in for a sequence of queries, which is exact."""
    mask = torch.arange(context, device=lengths.device) < lengths.view(-1, 1, 1, 1)

    def attend(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        batch, heads, size = query.shape
        shared = keys.shape[2]
        out = functional.scaled_dot_product_attention(
            query.view(batch, shared, heads // shared, size),
            keys[:batch, :context].transpose(1, 2),
            values[:batch, :context].transpose(1, 2),
            attn_mask=mask,
        )
        return out.reshape(batch, heads, size)

    return attend


def flash(lengths: torch.Tensor, capacity: int, context: int) -> LayerAttention:
    """On CUDA: torch's bundled FlashAttention, told how much of each slot is in use. It can be captured in a graph.

    Slots are sequences that stand one after another, not pages of a block table: with more than one split that form
    gives wrong results (pytorch/pytorch issue 194167).
    """
    batch = lengths.shape[0]
    queries = torch.arange(batch + 1, dtype=torch.int32, device=lengths.device)
    slots, used = queries * capacity, lengths.to(torch.int32)
    splits = min(_MOST_SPLITS, -(-capacity // _SPLIT_TOKENS))

    def attend(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        out = varlen.varlen_attn(
            query,
            keys[:batch].flatten(0, 1),
            values[:batch].flatten(0, 1),
            queries,
            slots,
            1,
            capacity,
            enable_gqa=True,
            seqused_k=used,
            num_splits=splits,
        )
        assert isinstance(out, torch.Tensor)
        return out

    return attend


def choose(*, heads: int, shared: int, size: int, dtype: torch.dtype, device: torch.device) -> SlotAttention:
    """The fastest way that gives right results here, found by trying it."""
    if device.type != "cuda":
        return folded
    # It says at each of a thousand calls, while steps are captured, that it is used.
    logging.getLogger(varlen.__name__).setLevel(logging.WARNING)
    difference = _difference(flash, heads=heads, shared=shared, size=size, dtype=dtype, device=device)
    log.info("attention_kernel_tried", kernel="flash", difference=difference)
    return flash if difference is not None and difference <= TOLERANCE else folded


def _difference(
    kernel: SlotAttention,
    *,
    heads: int,
    shared: int,
    size: int,
    dtype: torch.dtype,
    device: torch.device,
) -> float | None:
    """The largest difference from the exact result over slots of mixed lengths; None where the kernel refuses."""
    generator = torch.Generator(device).manual_seed(0)
    # Of several splits, some of them partly full or empty: what is tried is what will run.
    capacity = 4 * _SPLIT_TOKENS

    def made(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, device=device).to(dtype)

    # As in a step, where a slot's queries lie beside its keys.
    query = made(4, heads + shared, size)[:, :heads]
    keys, values = made(4, capacity, shared, size), made(4, capacity, shared, size)
    lengths = torch.tensor([1, 77, capacity // 2 + 1, capacity], device=device)
    exact = folded(lengths, capacity, capacity)(query.float(), keys.float(), values.float())
    try:
        return float((kernel(lengths, capacity, capacity)(query, keys, values).float() - exact).abs().max())
    except (RuntimeError, TypeError) as error:  # not for this GPU, type or size; or of another version of torch
        log.warning("attention_kernel_refused", kernel="flash", error=type(error).__name__)
        return None
