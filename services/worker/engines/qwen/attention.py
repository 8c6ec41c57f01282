"""Attention of one new token in each slot over what its slot holds.

The family has far fewer KV heads than query heads (2 and 16 in the 3B model). Expanding them, as stock code does behind
a mask, multiplies the bytes read in the step that is bound by reading; neither way here expands anything.
"""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec
import structlog
import torch
from torch.nn import functional

from services.worker.engines.execution import reason_of

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


class Flash:
    """On CUDA: torch's bundled FlashAttention, given the length of each slot. It can be captured in a CUDA graph.

    The call goes to the ATen operator. `torch.nn.attention.varlen` takes the arguments needed here from torch 2.12 on;
    the operator takes `seqused_k` and grouped query heads in 2.11 too, and `num_splits` from 2.12 on. Without
    `num_splits` the kernel chooses the number of splits by itself, as if every slot were full.

    Slots are sequences that stand one after another, not pages of a block table: with more than one split that form
    gives wrong results (pytorch/pytorch issue 194167).
    """

    def __init__(self, operator: Any) -> None:
        """`operator` is `aten::_flash_attention_forward`, or another of its schema."""
        self._operator = operator
        self._takes_splits = any(argument.name == "num_splits" for argument in operator._schema.arguments)

    def __call__(self, lengths: torch.Tensor, capacity: int, context: int) -> LayerAttention:
        """See `SlotAttention`."""
        batch = lengths.shape[0]
        queries = torch.arange(batch + 1, dtype=torch.int32, device=lengths.device)
        slots, used = queries * capacity, lengths.to(torch.int32)
        splits = {"num_splits": split_count(capacity)} if self._takes_splits else {}

        def attend(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self._operator(
                query,
                keys[:batch].flatten(0, 1),
                values[:batch].flatten(0, 1),
                queries,
                slots,
                1,  # the most queries of a slot
                capacity,
                0.0,  # dropout
                False,  # causal: one query sees all that its slot holds
                False,  # return_debug_mask
                seqused_k=used,
                **splits,
            )[0]
            return out

        return attend


def split_count(capacity: int) -> int:
    """The number of splits of a slot of `capacity` tokens."""
    return min(_MOST_SPLITS, -(-capacity // _SPLIT_TOKENS))


def bundled() -> Flash:
    """The FlashAttention of the installed torch. Raises `AttributeError` where torch has no such operator."""
    return Flash(torch.ops.aten._flash_attention_forward.default)


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The attention to use. `fallback` is the reason why it is not the fast one; None on a CPU, which has no other."""

    kernel: str
    attention: SlotAttention
    fallback: str | None = None


FOLDED = Choice(kernel="folded", attention=folded)


def choose(*, heads: int, shared: int, size: int, capacity: int, dtype: torch.dtype, device: torch.device) -> Choice:
    """The fastest attention that gives right results on `device`, found by trial.

    `capacity` is the number of tokens of a slot in production: it decides into how many splits a kernel divides one.
    """
    if device.type != "cuda":
        return FOLDED
    return tried(bundled, heads=heads, shared=shared, size=size, capacity=capacity, dtype=dtype, device=device)


def tried(
    make: Callable[[], SlotAttention],
    *,
    heads: int,
    shared: int,
    size: int,
    capacity: int,
    dtype: torch.dtype,
    device: torch.device,
) -> Choice:
    """FlashAttention as `make` returns it where it runs and agrees with the exact result; else `folded` and the reason.

    The trial has four slots of one layer, in single precision too. That is less than one slot of all layers takes, for
    models of 20 layers and more; so it fits where a slot fits.
    """
    generator = torch.Generator(device).manual_seed(0)

    def made(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, device=device).to(dtype)

    # As in a step, where a slot's queries lie beside its keys.
    query = made(4, heads + shared, size)[:, :heads]
    keys, values = made(4, capacity, shared, size), made(4, capacity, shared, size)
    # Splits that are full, partly full and empty.
    lengths = torch.tensor([1, min(77, capacity), capacity // 2 + 1, capacity], device=device)
    exact = folded(lengths, capacity, capacity)(query.float(), keys.float(), values.float())
    try:
        found = make()(lengths, capacity, capacity)(query, keys, values)
        difference = float((found.float() - exact).abs().max())
    except torch.OutOfMemoryError:
        raise  # says nothing about the kernel
    except Exception as error:  # whatever this GPU, size, type or version of torch makes the kernel refuse with
        fallback = f"flash refuses: {reason_of(error)}"
    else:
        log.info("attention_kernel_tried", kernel="flash", difference=difference, splits=split_count(capacity))
        if difference <= TOLERANCE:
            return Choice(kernel="flash", attention=make())
        fallback = f"flash differs from the exact result by {difference:.3g}, of {TOLERANCE} allowed"
    log.warning("attention_fell_back", kernel="folded", reason=fallback)
    return Choice(kernel="folded", attention=folded, fallback=fallback)
