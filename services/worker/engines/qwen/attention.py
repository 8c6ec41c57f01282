"""Attention of one new token in each slot over the tokens that its slot holds.

The family has far fewer KV heads than query heads (2 and 16 in the 3B model): grouped-query attention. transformers
repeats the KV heads where there is a mask, which multiplies the bytes that a step reads, and a step is bound by
reading. Neither implementation here repeats them.
"""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec
import structlog
import torch
from torch.nn import functional

from services.worker.engines.execution import reason_of

log = structlog.get_logger()

#: Greatest absolute difference of a kernel in half precision from the result in single precision, on inputs of unit
#: variance. Chosen: several rounding errors of bfloat16 (2^-8), far below the error of a wrong mask or layout.
TOLERANCE = 0.02

# Tokens of a slot that one block of threads reads, and the most blocks for a slot, which is FlashAttention's own limit.
# Shorter splits fill the GPU where few pages are written, and cost more to combine where many are. torch's own choice
# assumes that every slot is full, so that most of its splits are empty. Not measured yet.
_SPLIT_TOKENS = 512
_MAX_SPLITS = 128

#: From queries (batch, num_heads, head_dim), keys and values (slots, capacity, num_kv_heads, head_dim), of which the
#: first `batch` slots count, to the output (batch, num_heads, head_dim).
LayerAttention = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


class SlotAttention(Protocol):
    """Makes the attention of one decoding step, once for all layers.

    `lengths` (batch,) are the tokens that each slot holds, of `capacity`; `context` is an upper bound to them that the
    host knows without waiting for the device.
    """

    def __call__(self, lengths: torch.Tensor, capacity: int, context: int) -> LayerAttention: ...


def sdpa_grouped(lengths: torch.Tensor, capacity: int, context: int) -> LayerAttention:
    """`scaled_dot_product_attention`, on any device.

    The query heads of a group, which share a KV head, take the dimension of a sequence of queries. The result is exact.
    """
    # (batch, 1, 1, context)
    mask = torch.arange(context, device=lengths.device) < lengths.view(-1, 1, 1, 1)

    def attend(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        batch, num_heads, head_dim = query.shape
        num_kv_heads = keys.shape[2]
        out = functional.scaled_dot_product_attention(
            query.view(batch, num_kv_heads, num_heads // num_kv_heads, head_dim),
            keys[:batch, :context].transpose(1, 2),  # (batch, num_kv_heads, context, head_dim)
            values[:batch, :context].transpose(1, 2),
            attn_mask=mask,
        )
        return out.reshape(batch, num_heads, head_dim)

    return attend


class FlashAttention:
    """FlashAttention as torch bundles it, on CUDA. It can be captured in a CUDA graph.

    The call goes to the ATen operator. `torch.nn.attention.varlen` takes the arguments needed here from torch 2.12 on;
    the operator takes `seqused_k` and grouped query heads in 2.11 too, and `num_splits` from 2.12 on. Without
    `num_splits` the kernel chooses the number of splits by itself, as if every slot were full.

    Slots are passed as sequences one after another, not as blocks of a block table: with more than one split a block
    table gives wrong results (pytorch/pytorch issue 194167).
    """

    def __init__(self, operator: Any) -> None:
        """`operator` is `aten::_flash_attention_forward`, or another of its schema."""
        self._operator = operator
        self._takes_splits = any(argument.name == "num_splits" for argument in operator._schema.arguments)

    def __call__(self, lengths: torch.Tensor, capacity: int, context: int) -> LayerAttention:
        """See `SlotAttention`."""
        batch = lengths.shape[0]
        cum_seq_q = torch.arange(batch + 1, dtype=torch.int32, device=lengths.device)
        cum_seq_k, seqused_k = cum_seq_q * capacity, lengths.to(torch.int32)
        splits = {"num_splits": split_count(capacity)} if self._takes_splits else {}

        def attend(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self._operator(
                query,
                keys[:batch].flatten(0, 1),
                values[:batch].flatten(0, 1),
                cum_seq_q,
                cum_seq_k,
                1,  # max_q: one query for each slot
                capacity,  # max_k
                0.0,  # dropout_p
                False,  # is_causal: the query is the last token of its slot
                False,  # return_debug_mask
                seqused_k=seqused_k,
                **splits,
            )[0]
            return out

        return attend


def split_count(capacity: int) -> int:
    """The number of splits of a slot of `capacity` tokens."""
    return min(_MAX_SPLITS, -(-capacity // _SPLIT_TOKENS))


def bundled_flash_attention() -> FlashAttention:
    """The FlashAttention of the installed torch. Raises `AttributeError` where torch has no such operator."""
    return FlashAttention(torch.ops.aten._flash_attention_forward.default)


class AttentionShape(msgspec.Struct, frozen=True, kw_only=True):
    """What attention over slots is computed on. `capacity` is in tokens of a slot, as in production."""

    num_heads: int
    num_kv_heads: int
    head_dim: int
    capacity: int
    dtype: torch.dtype
    device: torch.device


class ChosenAttention(msgspec.Struct, frozen=True, kw_only=True):
    """The attention to use."""

    #: As `Execution.kernel` shows it.
    kernel: str
    attention: SlotAttention
    #: Why it is not the fast one. None where it is, and on a CPU, which has no other.
    fallback: str | None = None


SDPA = ChosenAttention(kernel="sdpa", attention=sdpa_grouped)


def choose(shape: AttentionShape) -> ChosenAttention:
    """The fastest attention that gives right results on the device, found by trial."""
    return SDPA if shape.device.type != "cuda" else try_flash(bundled_flash_attention, shape)


def try_flash(make: Callable[[], SlotAttention], shape: AttentionShape) -> ChosenAttention:
    """FlashAttention as `make` returns it if it runs and gives the right result; else `sdpa_grouped` and the reason.

    The trial has four slots of one layer, in single precision too. That is less than one slot of all layers takes, for
    models of 20 layers and more; so it fits where a slot fits. It has the splits of production, which follow from the
    capacity.
    """
    capacity, device = shape.capacity, shape.device
    generator = torch.Generator(device).manual_seed(0)

    def random(*sizes: int) -> torch.Tensor:
        return torch.randn(sizes, generator=generator, device=device).to(shape.dtype)

    # A view, with the strides of a step: there a slot's queries lie beside its keys.
    query = random(4, shape.num_heads + shape.num_kv_heads, shape.head_dim)[:, : shape.num_heads]
    keys, values = (random(4, capacity, shape.num_kv_heads, shape.head_dim) for _ in range(2))
    # Splits that are full, partly full and empty.
    lengths = torch.tensor([1, min(77, capacity), capacity // 2 + 1, capacity], device=device)
    expected = sdpa_grouped(lengths, capacity, capacity)(query.float(), keys.float(), values.float())
    try:
        found = make()(lengths, capacity, capacity)(query, keys, values)
        difference = float((found.float() - expected).abs().max())
    except torch.OutOfMemoryError:
        raise  # says nothing about the kernel
    except Exception as error:  # a kernel refuses a GPU, shape, dtype or version of torch with any of them
        fallback = f"flash refuses: {reason_of(error)}"
    else:
        log.info("attention_kernel_tried", kernel="flash", difference=difference, splits=split_count(capacity))
        if difference <= TOLERANCE:
            return ChosenAttention(kernel="flash", attention=make())
        fallback = f"flash differs from the exact result by {difference:.3g}, of {TOLERANCE} allowed"
    log.warning("attention_fell_back", kernel=SDPA.kernel, reason=fallback)
    return msgspec.structs.replace(SDPA, fallback=fallback)
