"""Attention of one new token in each slot over what its slot holds.

The family has far fewer KV heads than query heads (2 and 16 in the 3B model). Expanding them, as stock code does behind
a mask, multiplies the bytes read in the step that is bound by reading; neither way here expands anything.
"""

from collections.abc import Callable
from typing import Protocol

import structlog
import torch
from torch.nn import functional
from torch.nn.attention import varlen

log = structlog.get_logger()

TOLERANCE = 0.02
"""Most difference from the exact result, on unit-variance inputs, that a kernel in half precision is trusted with."""


class SlotAttention(Protocol):
    """Queries (batch, heads, size) over the first slots of `keys` and `values`, (slots, capacity, KV heads, size) both.

    `lengths` (batch,) counts the tokens that each slot holds; `context` is a bound to them that the host knows.
    """

    def __call__(
        self, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, lengths: torch.Tensor, context: int
    ) -> torch.Tensor: ...


def folded(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, lengths: torch.Tensor, context: int
) -> torch.Tensor:
    """On any device: the query heads that share a KV head stand in for a sequence of queries, which is exact."""
    batch, heads, size = query.shape
    shared = keys.shape[2]
    mask = torch.arange(context, device=query.device) < lengths.view(-1, 1, 1, 1)
    out = functional.scaled_dot_product_attention(
        query.view(batch, shared, heads // shared, size),
        keys[:batch, :context].transpose(1, 2),
        values[:batch, :context].transpose(1, 2),
        attn_mask=mask,
    )
    return out.reshape(batch, heads, size)


def flash(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, lengths: torch.Tensor, context: int
) -> torch.Tensor:
    """On CUDA: torch's bundled FlashAttention, told how much of each slot is in use. It can be captured in a graph."""
    batch, capacity = query.shape[0], keys.shape[1]
    starts = torch.arange(batch + 1, dtype=torch.int32, device=query.device)
    out = varlen.varlen_attn(
        query,
        keys[:batch].flatten(0, 1),
        values[:batch].flatten(0, 1),
        starts,
        starts * capacity,
        1,
        capacity,
        enable_gqa=True,
        seqused_k=lengths.to(torch.int32),
    )
    assert isinstance(out, torch.Tensor)
    return out


def choose(*, heads: int, shared: int, size: int, dtype: torch.dtype, device: torch.device) -> SlotAttention:
    """The fastest way that gives right results here, found by trying it."""
    if device.type != "cuda":
        return folded
    difference = _difference(flash, heads=heads, shared=shared, size=size, dtype=dtype, device=device)
    log.info("attention_kernel_tried", kernel="flash", difference=difference)
    return flash if difference is not None and difference <= TOLERANCE else folded


def _difference(
    kernel: Callable[..., torch.Tensor],
    *,
    heads: int,
    shared: int,
    size: int,
    dtype: torch.dtype,
    device: torch.device,
) -> float | None:
    """The largest difference from the exact result over slots of mixed lengths; None where the kernel refuses."""
    generator = torch.Generator(device).manual_seed(0)
    capacity = 512

    def made(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, device=device).to(dtype)

    query, keys, values = made(4, heads, size), made(4, capacity, shared, size), made(4, capacity, shared, size)
    lengths = torch.tensor([1, 77, 300, capacity], device=device)
    exact = folded(query.float(), keys.float(), values.float(), lengths, capacity)
    try:
        return float((kernel(query, keys, values, lengths, capacity).float() - exact).abs().max())
    except (RuntimeError, NotImplementedError, TypeError) as error:
        log.warning("attention_kernel_refused", kernel="flash", error=type(error).__name__)
        return None
