"""Attention over slots: the call of FlashAttention under each version of torch, and the trial that it has to pass."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from services.worker.engines.qwen import attention
from services.worker.engines.qwen.attention import (
    AttentionShape,
    ChosenAttention,
    FlashAttention,
    LayerAttention,
    SlotAttention,
    sdpa_grouped,
)

# As `torch.ops.aten._flash_attention_forward.default._schema` prints them, in pieces.
_FIRST = (
    "(Tensor query, Tensor key, Tensor value, Tensor? cum_seq_q, Tensor? cum_seq_k, SymInt max_q, SymInt max_k, "
    "float dropout_p, bool is_causal, bool return_debug_mask, *, float? scale=None, SymInt? window_size_left=None, "
    "SymInt? window_size_right=None, Tensor? seqused_k=None, Tensor? alibi_slopes=None"
)
_LAST = ") -> (Tensor output, Tensor softmax_logsumexp, Tensor rng_state, Tensor unused, Tensor debug_attn_mask)"
SCHEMAS = {"2.11": _FIRST + _LAST, "2.13": _FIRST + ", Tensor? block_table=None, int? num_splits=None" + _LAST}
RELEASE = ".".join(torch.__version__.split(".")[:2])
NUM_HEADS, NUM_KV_HEADS, HEAD_DIM = 16, 2, 128
CPU = torch.device("cpu")


class Operator:
    """An operator of torch's schema that computes on a CPU what the documentation of the schema's arguments says."""

    def __init__(self, library: "torch.library.Library", name: str, schema: str) -> None:
        self.splits: list[int | None] = []
        library.define(name + schema)
        library.impl(name, self._compute, "CPU")
        self.overload = getattr(torch.ops.gnosis_test, name).default

    def _compute(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        cum_seq_q: torch.Tensor,
        cum_seq_k: torch.Tensor,
        max_q: int,
        max_k: int,
        dropout_p: float,
        is_causal: bool,
        return_debug_mask: bool,
        *,
        seqused_k: torch.Tensor,
        num_splits: int | None = None,
    ) -> tuple[torch.Tensor, ...]:
        assert cum_seq_q.dtype == cum_seq_k.dtype == seqused_k.dtype == torch.int32
        assert (max_q, dropout_p, is_causal, return_debug_mask) == (1, 0.0, False, False)
        assert len(cum_seq_q) == len(cum_seq_k) == len(seqused_k) + 1
        self.splits.append(num_splits)
        group = query.shape[1] // key.shape[1]
        rows = []
        for number, used in enumerate(seqused_k.tolist()):
            assert cum_seq_q[number] == number
            start = int(cum_seq_k[number])
            assert used <= max_k == int(cum_seq_k[number + 1]) - start
            keys = key[start : start + used].repeat_interleave(group, dim=1).float()
            values = value[start : start + used].repeat_interleave(group, dim=1).float()
            scores = torch.einsum("hd,thd->ht", query[number].float(), keys) / query.shape[-1] ** 0.5
            rows.append(torch.einsum("ht,thd->hd", scores.softmax(-1), values))
        empty = query.new_empty(0)
        return torch.stack(rows).to(query.dtype), empty.clone(), empty.clone(), empty.clone(), empty.clone()


@pytest.fixture(params=SCHEMAS)
def operator(request: pytest.FixtureRequest) -> Iterator[Operator]:
    version: str = request.param
    library = torch.library.Library("gnosis_test", "FRAGMENT")
    try:
        yield Operator(library, f"flash_{version.replace('.', '_')}", SCHEMAS[version])
    finally:
        library._destroy()


def shape(capacity: int, dtype: torch.dtype) -> AttentionShape:
    return AttentionShape(
        num_heads=NUM_HEADS,
        num_kv_heads=NUM_KV_HEADS,
        head_dim=HEAD_DIM,
        capacity=capacity,
        dtype=dtype,
        device=CPU,
    )


def trial(make: Any, capacity: int = 1100) -> ChosenAttention:
    return attention.try_flash(make, shape(capacity, torch.bfloat16))


def test_flash_is_called_as_either_version_of_torch_takes_it_and_is_exact(operator: Operator) -> None:
    choice = trial(lambda: FlashAttention(operator.overload))
    assert (choice.kernel, choice.fallback) == ("flash", None)
    assert isinstance(choice.attention, FlashAttention)
    expected = 3 if "num_splits" in str(operator.overload._schema) else None
    assert set(operator.splits) == {expected}


def test_the_installed_torch_takes_the_call_on_tensors_without_contents() -> None:
    meta = torch.device("meta")
    flash = attention.bundled_flash_attention()
    keys = torch.empty(64, 11400, NUM_KV_HEADS, HEAD_DIM, dtype=torch.bfloat16, device=meta)
    for batch in (1, 5, 64):
        query = torch.empty(batch, NUM_HEADS, HEAD_DIM, dtype=torch.bfloat16, device=meta)
        lengths = torch.empty(batch, dtype=torch.int64, device=meta)
        out = flash(lengths, 11400, 11400)(query, keys, keys)
        assert (out.shape, out.dtype) == (query.shape, query.dtype)


@pytest.mark.skipif(RELEASE not in SCHEMAS, reason="its schema is not written down here")
def test_the_schema_of_the_installed_torch_is_the_one_written_down() -> None:
    installed = torch.ops.aten._flash_attention_forward.default._schema
    written = torch._C.parse_schema(installed.name + SCHEMAS[RELEASE])
    assert str(written) == str(installed)


@pytest.mark.parametrize(("capacity", "splits"), [(1, 1), (512, 1), (513, 2), (2048, 4), (11344, 23), (10**6, 128)])
def test_a_slot_is_split_by_its_capacity(capacity: int, splits: int) -> None:
    assert attention.split_count(capacity) == splits


def test_the_trial_uses_the_splits_of_production(operator: Operator) -> None:
    trial(lambda: FlashAttention(operator.overload), capacity=4700)
    assert set(operator.splits) in ({10}, {None})


def test_a_kernel_that_refuses_leaves_its_reason() -> None:
    # Of a GPU's operator on a CPU: a true refusal.
    choice = trial(attention.bundled_flash_attention)
    assert (choice.kernel, choice.attention) == ("sdpa", sdpa_grouped)
    assert choice.fallback is not None
    assert choice.fallback.startswith(
        "flash refuses: NotImplementedError: Could not run 'aten::_flash_attention_forward'"
    )


def test_a_torch_without_the_operator_leaves_its_reason() -> None:
    choice = trial(lambda: FlashAttention(torch.ops.aten._no_such_attention.default))
    assert choice.fallback is not None
    assert choice.fallback.startswith("flash refuses: AttributeError: ")
    assert "_no_such_attention" in choice.fallback


@pytest.mark.parametrize("amount", [1.0, float("nan")])
def test_a_kernel_that_is_wrong_leaves_by_how_much(amount: float) -> None:
    def wrong(lengths: torch.Tensor, capacity: int, context: int) -> LayerAttention:
        right = sdpa_grouped(lengths, capacity, context)
        return lambda query, keys, values: right(query, keys, values) + amount

    def make() -> SlotAttention:
        return wrong

    choice = trial(make)
    assert choice.kernel == "sdpa"
    assert choice.fallback is not None
    assert "flash differs from the exact result by" in choice.fallback


def test_memory_that_runs_out_is_no_reason_to_fall_back() -> None:
    def full() -> SlotAttention:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(torch.OutOfMemoryError):
        trial(full)


def test_a_cpu_has_one_way_and_no_fallback() -> None:
    choice = attention.choose(shape(1100, torch.float32))
    assert choice == attention.SDPA
