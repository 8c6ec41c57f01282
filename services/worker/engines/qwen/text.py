"""The language tower: a page's prompt in one pass, then one token at a time for all slots together."""

from typing import Any

import msgspec
import torch
from torch.nn import functional

from services.worker.engines.qwen import attention
from services.worker.engines.qwen.attention import Choice
from services.worker.engines.qwen.kvcache import SlotCache


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """A layer's weights; projections that read the same input are one matrix, so that they are one product."""

    before: Any  # torch.Tensor, all of them
    qkv: Any
    qkv_bias: Any
    out: Any
    between: Any
    gate_up: Any
    down: Any


class TextTower:
    """The weights of a loaded model's language part, rearranged in place: the model goes on to work, in no more memory.

    `limit` is the most tokens that a page has, prompt and answer together.
    """

    def __init__(self, model: Any, *, limit: int) -> None:
        tower, config = model.model.language_model, model.config.text_config
        self.heads, self.shared = config.num_attention_heads, config.num_key_value_heads
        self.size = config.hidden_size // self.heads
        self._eps = config.rms_norm_eps
        self._rotary = tower.rotary_emb
        self._embedding: torch.Tensor = tower.embed_tokens.weight
        self._norm = tower.norm.weight
        self._head = model.lm_head.weight
        self._layers = [_layer(layer) for layer in tower.layers]
        # Of an answer's tokens all three positions are the same, so their rotations can be looked up.
        self._cos, self._sin = self._rotation(torch.arange(limit, device=self.device).expand(3, -1))
        self._attention = attention.choose(
            heads=self.heads,
            shared=self.shared,
            size=self.size,
            capacity=limit,
            dtype=self.dtype,
            device=self.device,
        )

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._embedding.device

    @property
    def dtype(self) -> torch.dtype:
        """What the weights are kept as."""
        return self._embedding.dtype

    @property
    def vocabulary(self) -> int:
        """How many tokens there are to choose from."""
        return int(self._head.shape[0])

    @property
    def capturable(self) -> bool:
        """Whether a step may be captured in a CUDA graph: nothing in it depends on what only the host knows."""
        return self._attention.kernel == "flash"

    @property
    def attention(self) -> Choice:
        """The attention over slots, as chosen."""
        return self._attention

    def new_cache(self, slots: int, capacity: int) -> SlotCache:
        """An empty cache of this tower's shape."""
        return SlotCache(
            layers=len(self._layers),
            slots=slots,
            capacity=capacity,
            heads=self.shared,
            size=self.size,
            dtype=self.dtype,
            device=self.device,
        )

    @torch.inference_mode()
    def prefill(
        self, tokens: torch.Tensor, positions: torch.Tensor, picture: torch.Tensor, at: int, cache: SlotCache, slot: int
    ) -> torch.Tensor:
        """Read a prompt into a slot; the logits (vocabulary,) of the first token of the answer.

        `tokens` is (length,), `positions` (3, length); `picture` are the visual tokens, which begin at `at`.
        """
        length = tokens.shape[0]
        hidden = functional.embedding(tokens, self._embedding)
        hidden[at : at + picture.shape[0]] = picture.to(self.dtype)
        cos, sin = self._rotation(positions)
        for number, layer in enumerate(self._layers):
            query, key, value = self._projected(layer, hidden, cos, sin)
            cache.keys[number, slot, :length] = key
            cache.values[number, slot, :length] = value
            seen = functional.scaled_dot_product_attention(
                query.transpose(0, 1).unsqueeze(0),
                key.transpose(0, 1).unsqueeze(0),
                value.transpose(0, 1).unsqueeze(0),
                is_causal=True,
                enable_gqa=True,
            )
            hidden = self._finished(layer, hidden, seen.squeeze(0).transpose(0, 1).reshape(length, -1))
        return self._logits(hidden[-1:])[0]

    def step(
        self, tokens: torch.Tensor, positions: torch.Tensor, lengths: torch.Tensor, cache: SlotCache, context: int
    ) -> torch.Tensor:
        """Put one more token into each of the first slots; the logits (batch, vocabulary) of the next ones.

        All three arguments are (batch,); `lengths` counts what a slot held before. No slot holds `context` or more.
        """
        batch = tokens.shape[0]
        rows = torch.arange(batch, device=tokens.device)
        hidden = functional.embedding(tokens, self._embedding)
        cos, sin = self._cos[positions], self._sin[positions]
        attend = self._attention.attention(lengths + 1, cache.capacity, context)
        for number, layer in enumerate(self._layers):
            query, key, value = self._projected(layer, hidden, cos, sin)
            keys, values = cache.keys[number], cache.values[number]
            keys.index_put_((rows, lengths), key)
            values.index_put_((rows, lengths), value)
            seen = attend(query, keys, values)
            hidden = self._finished(layer, hidden, seen.reshape(batch, -1))
        return self._logits(hidden)

    def _projected(
        self, layer: Layer, hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys (both with their positions) and values, each (tokens, heads, size)."""
        normal = functional.rms_norm(hidden, layer.before.shape, layer.before, self._eps)
        joint = functional.linear(normal, layer.qkv, layer.qkv_bias).view(hidden.shape[0], -1, self.size)
        turning, value = joint.split([self.heads + self.shared, self.shared], dim=1)
        first, second = turning.chunk(2, dim=-1)
        turned = torch.addcmul(turning * cos, torch.cat((second, first), dim=-1), sin)
        query, key = turned.split([self.heads, self.shared], dim=1)
        return query, key, value

    def _finished(self, layer: Layer, hidden: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """What is left of a layer after its attention. Writes over `hidden`: a sum elsewhere would copy it first."""
        hidden.addmm_(seen, layer.out.t())
        normal = functional.rms_norm(hidden, layer.between.shape, layer.between, self._eps)
        gate, up = functional.linear(normal, layer.gate_up).chunk(2, dim=-1)
        return hidden.addmm_(functional.silu(gate) * up, layer.down.t())

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        normal = functional.rms_norm(hidden, self._norm.shape, self._norm, self._eps)
        return functional.linear(normal, self._head)

    def _rotation(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosine and sine (length, 1, size) of positions (3, length), the first half of the sine negative.

        The halves of a head, changed over, then need no sign of their own.
        """
        cos, sin = self._rotary(self._embedding, positions.unsqueeze(1))
        first, second = sin[0].chunk(2, dim=-1)
        return cos[0].unsqueeze(1), torch.cat((-first, second), dim=-1).unsqueeze(1)


def _layer(layer: Any) -> Layer:
    seen, mlp = layer.self_attn, layer.mlp
    return Layer(
        before=layer.input_layernorm.weight.data,
        qkv=_joined([seen.q_proj, seen.k_proj, seen.v_proj]),
        qkv_bias=torch.cat([seen.q_proj.bias.data, seen.k_proj.bias.data, seen.v_proj.bias.data]),
        out=seen.o_proj.weight.data,
        between=layer.post_attention_layernorm.weight.data,
        gate_up=_joined([mlp.gate_proj, mlp.up_proj]),
        down=mlp.down_proj.weight.data,
    )


def _joined(modules: list[Any]) -> torch.Tensor:
    """The modules' weights as one matrix, of which each module keeps its part: no weight is held twice."""
    whole = torch.cat([module.weight.data for module in modules])
    for module, part in zip(modules, whole.split([module.weight.shape[0] for module in modules]), strict=True):
        module.weight.data = part
    return whole
