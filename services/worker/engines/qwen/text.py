"""The text tower: a page's prompt in one pass (prefill), then one token at a time for all slots together (decoding).

Shapes follow transformers: with H = hidden_size, N = num_heads, K = num_kv_heads, D = head_dim, I = intermediate_size,
V = vocab_size.
"""

from typing import Any

import msgspec
import torch
from torch.nn import functional

from services.worker.engines.qwen import attention
from services.worker.engines.qwen.attention import AttentionShape, ChosenAttention


class KVCache:
    """Keys and values of the pages being written: a slot for each, with room for the longest page.

    `keys` and `values` are (num_layers, slots, capacity, K, D); capacity is in tokens.
    """

    def __init__(
        self,
        *,
        num_layers: int,
        slots: int,
        capacity: int,
        num_kv_heads: int,
        head_dim: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        shape = (num_layers, slots, capacity, num_kv_heads, head_dim)
        # Zeros, not uninitialised memory: what is past a slot's length is masked, and a mask does not hide NaN.
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)

    @property
    def slots(self) -> int:
        """Pages that it holds."""
        return self.keys.shape[1]

    @property
    def capacity(self) -> int:
        """Tokens that a slot holds, prompt and answer together."""
        return self.keys.shape[2]


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """A decoder layer's weights. Projections of the same input are one matrix, so that they are one product."""

    # All are torch.Tensor, as a linear layer has them: (output, input).
    input_layernorm: Any  # (H,)
    qkv_proj: Any  # ((N + 2 K) D, H): queries, keys, values
    qkv_bias: Any  # ((N + 2 K) D,)
    o_proj: Any  # (H, N D)
    post_attention_layernorm: Any  # (H,)
    gate_up_proj: Any  # (2 I, H)
    down_proj: Any  # (H, I)


class TextTower:
    """The weights of a loaded model's language part, rearranged in place: the model still works, in no more memory.

    `max_tokens` is the most tokens of a page, prompt and answer together.
    """

    def __init__(self, model: Any, *, max_tokens: int) -> None:
        tower, config = model.model.language_model, model.config.text_config
        self.num_heads, self.num_kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_dim = config.hidden_size // self.num_heads
        self._eps = config.rms_norm_eps
        self._rotary_emb = tower.rotary_emb
        self._embed_tokens: torch.Tensor = tower.embed_tokens.weight  # (V, H)
        self._norm = tower.norm.weight  # (H,)
        self._lm_head = model.lm_head.weight  # (V, H)
        self._layers = [_layer(layer) for layer in tower.layers]
        # The three positions of an answer's token are equal, so its rotation is a row of these: (max_tokens, 1, D).
        self._cos, self._sin = self._rotary(torch.arange(max_tokens, device=self.device).expand(3, -1))
        self._attention = attention.choose(
            AttentionShape(
                num_heads=self.num_heads,
                num_kv_heads=self.num_kv_heads,
                head_dim=self.head_dim,
                capacity=max_tokens,
                dtype=self.dtype,
                device=self.device,
            )
        )

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self._embed_tokens.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights."""
        return self._embed_tokens.dtype

    @property
    def vocab_size(self) -> int:
        """The number of tokens to choose from."""
        return int(self._lm_head.shape[0])

    @property
    def capturable(self) -> bool:
        """Whether a step may be captured in a CUDA graph: no value in it depends on what only the host knows."""
        return self._attention.kernel == "flash"

    @property
    def attention(self) -> ChosenAttention:
        """The attention over slots."""
        return self._attention

    def new_cache(self, slots: int, capacity: int) -> KVCache:
        """An empty cache of this tower's shape."""
        return KVCache(
            num_layers=len(self._layers),
            slots=slots,
            capacity=capacity,
            num_kv_heads=self.num_kv_heads,
            head_dim=self.head_dim,
            dtype=self.dtype,
            device=self.device,
        )

    @torch.inference_mode()
    def prefill(
        self,
        input_ids: torch.Tensor,
        position_ids: torch.Tensor,
        image_embeds: torch.Tensor,
        image_start: int,
        cache: KVCache,
        slot: int,
    ) -> torch.Tensor:
        """Read a prompt into a slot; the logits (V,) of the answer's first token.

        `input_ids` is (length,), `position_ids` (3, length), `image_embeds` (visual tokens, H): those of the prompt
        from `image_start` on.
        """
        length = input_ids.shape[0]
        hidden = functional.embedding(input_ids, self._embed_tokens)
        hidden[image_start : image_start + image_embeds.shape[0]] = image_embeds.to(self.dtype)
        cos, sin = self._rotary(position_ids)
        for number, layer in enumerate(self._layers):
            query, key, value = self._qkv(layer, hidden, cos, sin)
            cache.keys[number, slot, :length] = key
            cache.values[number, slot, :length] = value
            attended = functional.scaled_dot_product_attention(
                query.transpose(0, 1).unsqueeze(0),  # (1, N, length, D)
                key.transpose(0, 1).unsqueeze(0),  # (1, K, length, D)
                value.transpose(0, 1).unsqueeze(0),
                is_causal=True,
                enable_gqa=True,
            )
            hidden = self._after_attention(layer, hidden, attended.squeeze(0).transpose(0, 1).reshape(length, -1))
        return self._logits(hidden[-1:])[0]

    def step(
        self, tokens: torch.Tensor, positions: torch.Tensor, lengths: torch.Tensor, cache: KVCache, context: int
    ) -> torch.Tensor:
        """Add one token to each of the first slots; the logits (batch, V) of the next ones.

        All three arguments are (batch,); `lengths` are the tokens that the slots held before, each below `context`.
        """
        batch = tokens.shape[0]
        rows = torch.arange(batch, device=tokens.device)
        hidden = functional.embedding(tokens, self._embed_tokens)
        cos, sin = self._cos[positions], self._sin[positions]
        attend = self._attention.attention(lengths + 1, cache.capacity, context)
        for number, layer in enumerate(self._layers):
            query, key, value = self._qkv(layer, hidden, cos, sin)
            keys, values = cache.keys[number], cache.values[number]
            keys.index_put_((rows, lengths), key)
            values.index_put_((rows, lengths), value)
            hidden = self._after_attention(layer, hidden, attend(query, keys, values).reshape(batch, -1))
        return self._logits(hidden)

    def _qkv(
        self, layer: Layer, hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries (tokens, N, D) and keys (tokens, K, D), both rotated, and values (tokens, K, D)."""
        normed = functional.rms_norm(hidden, layer.input_layernorm.shape, layer.input_layernorm, self._eps)
        qkv = functional.linear(normed, layer.qkv_proj, layer.qkv_bias).view(hidden.shape[0], -1, self.head_dim)
        query_key, value = qkv.split([self.num_heads + self.num_kv_heads, self.num_kv_heads], dim=1)
        first, second = query_key.chunk(2, dim=-1)
        rotated = torch.addcmul(query_key * cos, torch.cat((second, first), dim=-1), sin)
        query, key = rotated.split([self.num_heads, self.num_kv_heads], dim=1)
        return query, key, value

    def _after_attention(self, layer: Layer, hidden: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        """The layer's output projection and MLP. Overwrites `hidden`: a sum into a new tensor would copy it first."""
        hidden.addmm_(attended, layer.o_proj.t())
        weight = layer.post_attention_layernorm
        normed = functional.rms_norm(hidden, weight.shape, weight, self._eps)
        gate, up = functional.linear(normed, layer.gate_up_proj).chunk(2, dim=-1)
        return hidden.addmm_(functional.silu(gate) * up, layer.down_proj.t())

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        normed = functional.rms_norm(hidden, self._norm.shape, self._norm, self._eps)
        return functional.linear(normed, self._lm_head)

    def _rotary(self, position_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosine and sine (length, 1, D) of positions (3, length), the first half of the sine negated.

        So the halves of a head, swapped, need no sign of their own (transformers' `rotate_half` negates one).
        """
        cos, sin = self._rotary_emb(self._embed_tokens, position_ids.unsqueeze(1))
        first, second = sin[0].chunk(2, dim=-1)
        return cos[0].unsqueeze(1), torch.cat((-first, second), dim=-1).unsqueeze(1)


def _layer(layer: Any) -> Layer:
    attn, mlp = layer.self_attn, layer.mlp
    return Layer(
        input_layernorm=layer.input_layernorm.weight.data,
        qkv_proj=_merged([attn.q_proj, attn.k_proj, attn.v_proj]),
        qkv_bias=torch.cat([attn.q_proj.bias.data, attn.k_proj.bias.data, attn.v_proj.bias.data]),
        o_proj=attn.o_proj.weight.data,
        post_attention_layernorm=layer.post_attention_layernorm.weight.data,
        gate_up_proj=_merged([mlp.gate_proj, mlp.up_proj]),
        down_proj=mlp.down_proj.weight.data,
    )


def _merged(modules: list[Any]) -> torch.Tensor:
    """The modules' weights as one matrix, of which each module keeps a view: no weight is held twice."""
    whole = torch.cat([module.weight.data for module in modules])
    for module, part in zip(modules, whole.split([module.weight.shape[0] for module in modules]), strict=True):
        module.weight.data = part
    return whole
