"""The vision tower, with its windows side by side.

Most of its layers let a patch look only at the patches of its own window (112 pixels a side). The stock code calls
attention once for every window, thousands of times a page; here windows of equal size are one batch. There are four
sizes at most: whole windows, those cut off at the right edge, at the lower edge, and in the corner.
"""

from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

Integers = npt.NDArray[np.int64]

# To a multiple of this many numbers, which is 128 bytes in half precision.
_EVEN = 64


class WindowOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Where a page's visual tokens stand while the tower works, so that windows of equal size follow each other.

    `order` has the row-wise number of the token at each place; `groups` the windows' counts and sizes, in tokens.
    """

    order: Integers
    groups: tuple[tuple[int, int], ...]


def window_order(rows: int, columns: int, side: int) -> WindowOrder:
    """The order for a page of rows x columns tokens and windows of `side` tokens."""
    numbers = np.arange(rows * columns).reshape(rows, columns)
    by_size: dict[int, list[Integers]] = {}
    for top in range(0, rows, side):
        for left in range(0, columns, side):
            window = numbers[top : top + side, left : left + side].reshape(-1)
            by_size.setdefault(window.size, []).append(window)
    windows = sorted(by_size.items(), reverse=True)
    return WindowOrder(
        order=np.concatenate([window for _, same in windows for window in same]),
        groups=tuple((len(same), size) for size, same in windows),
    )


class VisionTower:
    """Turns a page's pixels into visual tokens, with the weights of a loaded model.

    Some are rearranged in place: the model goes on to work, in no more memory.
    """

    def __init__(self, visual: Any, *, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        self._visual = visual
        self._patch = visual.config.patch_size
        self._merge = visual.config.spatial_merge_size
        self._repeat = visual.config.temporal_patch_size
        self._window = visual.config.window_size // self._patch // self._merge
        weight = visual.patch_embed.proj.weight
        # The stock convolution has a stride of its own size, which is a matrix product, and far faster as one.
        self._embedding = weight.view(weight.shape[0], -1)
        self._mean = torch.tensor(mean, device=weight.device).view(-1, 1, 1)
        self._std = torch.tensor(std, device=weight.device).view(-1, 1, 1)
        self._mlps = [_Mlp(block.mlp) for block in visual.blocks]
        # Each takes megabytes of the GPU that no plan counts; a document has pages of a size or two.
        self._arrange = lru_cache(maxsize=8)(self._arranged)

    @torch.inference_mode()
    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """The visual tokens (rows x columns, hidden) of a page: uint8 (height, width, 3) on the tower's device."""
        unit = self._patch * self._merge
        rows, columns = pixels.shape[0] // unit, pixels.shape[1] // unit
        place = self._arrange(rows, columns)
        hidden = functional.linear(self._patches(pixels, rows, columns), self._embedding)
        hidden = _permuted(hidden, place.order, self._merge**2)
        for number, block in enumerate(self._visual.blocks):
            whole = number in self._visual.fullatt_block_indexes
            groups = ((1, hidden.shape[0]),) if whole else place.groups
            hidden += self._attend(block.attn, _normal(block.norm1, hidden), place, groups)
            hidden += self._mlps[number](_normal(block.norm2, hidden))
        merged: torch.Tensor = self._visual.merger(hidden)
        return merged[place.back]

    def _patches(self, pixels: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        """(patches, values), the patches of a token after each other, as the family's image processor orders them."""
        patch, merge = self._patch, self._merge
        picture = pixels.permute(2, 0, 1).float().mul(1 / 255).sub(self._mean).div(self._std)
        parts = picture.view(3, rows, merge, patch, columns, merge, patch).permute(1, 4, 2, 5, 0, 3, 6)
        # The tower sees stills as films of two equal frames.
        frames = parts.unsqueeze(5).expand(*parts.shape[:5], self._repeat, patch, patch)
        return frames.reshape(rows * columns * merge**2, -1).to(self._embedding.dtype)

    def _attend(self, attention: Any, hidden: torch.Tensor, place: "_Place", groups: Any) -> torch.Tensor:
        count, heads = hidden.shape[0], attention.num_heads
        joint = attention.qkv(hidden).view(count, 3, heads, -1)
        query, key = _turned(joint[:, :2], place).unbind(1)
        value = joint[:, 2]
        parts, start = [], 0
        for windows, size in groups:
            end = start + windows * size
            q, k, v = (part[start:end].view(windows, size, heads, -1).transpose(1, 2) for part in (query, key, value))
            seen = functional.scaled_dot_product_attention(q, k, v, scale=attention.scaling)
            parts.append(seen.transpose(1, 2).reshape(end - start, -1))
            start = end
        out: torch.Tensor = attention.proj(torch.cat(parts) if len(parts) > 1 else parts[0])
        return out

    def _arranged(self, rows: int, columns: int) -> "_Place":
        device, area = self._mean.device, self._merge**2
        windows = window_order(rows, columns, self._window)
        order = torch.from_numpy(windows.order).to(device)
        token_row, token_column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        inner_row, inner_column = torch.meshgrid(torch.arange(self._merge), torch.arange(self._merge), indexing="ij")
        row = (token_row.reshape(-1, 1) * self._merge + inner_row.reshape(1, -1)).reshape(-1)
        column = (token_column.reshape(-1, 1) * self._merge + inner_column.reshape(1, -1)).reshape(-1)
        cos, sin = self._visual.rotary_pos_emb(self._mean, torch.stack([row, column], dim=1).to(device))
        # The halves of a head, changed over, then need no sign of their own.
        first, second = sin.chunk(2, dim=-1)
        sin = torch.cat((-first, second), dim=-1)
        return _Place(
            order=order,
            back=torch.argsort(order),
            cos=_permuted(cos, order, area)[:, None, None],
            sin=_permuted(sin, order, area)[:, None, None],
            groups=tuple((count, size * area) for count, size in windows.groups),
        )


class _Place:
    """A page's shape on the device: the order of its tokens, the way back, the rotation of each patch."""

    def __init__(
        self,
        *,
        order: torch.Tensor,
        back: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        groups: tuple[tuple[int, int], ...],
    ) -> None:
        self.order, self.back, self.cos, self.sin, self.groups = order, back, cos, sin, groups


def _permuted(patches: torch.Tensor, order: torch.Tensor, area: int) -> torch.Tensor:
    """Patches in another order of tokens, the `area` patches of each token kept together."""
    return patches.view(-1, area, patches.shape[-1])[order].view(patches.shape)


def _turned(heads: torch.Tensor, place: _Place) -> torch.Tensor:
    """Queries and keys (patches, both, heads, size) under rotary position embedding, computed in single precision."""
    first, second = heads.chunk(2, dim=-1)
    exact = heads * place.cos
    return exact.addcmul_(torch.cat((second, first), dim=-1), place.sin).to(heads.dtype)


def _normal(norm: Any, hidden: torch.Tensor) -> torch.Tensor:
    return functional.rms_norm(hidden, norm.weight.shape, norm.weight, norm.variance_epsilon)


class _Mlp:
    """A block's MLP: both of its ways in one product, its width (3,420 in the family) made even with zeros.

    Rows that do not begin at whole words of memory keep a GPU from its full rate; zeros past the gate add nothing.
    """

    def __init__(self, mlp: Any) -> None:
        self._activate = mlp.act_fn
        self._down, self._down_bias = mlp.down_proj.weight.data, mlp.down_proj.bias
        size, width = self._down.shape
        even = -(-width // _EVEN) * _EVEN
        self._ways = self._down.new_zeros(2 * even, size)
        self._way_biases = self._down.new_zeros(2 * even)
        for start, way in ((0, mlp.gate_proj), (even, mlp.up_proj)):
            self._ways[start : start + width] = way.weight.data
            self._way_biases[start : start + width] = way.bias.data
            way.weight.data = self._ways[start : start + width]
        self._down = functional.pad(self._down, (0, even - width))
        mlp.down_proj.weight.data = self._down[:, :width]

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        gate, up = functional.linear(hidden, self._ways, self._way_biases).chunk(2, dim=-1)
        return functional.linear(self._activate(gate) * up, self._down, self._down_bias)
