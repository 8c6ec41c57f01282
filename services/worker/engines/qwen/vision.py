"""The vision tower, with windows of equal size as one batch.

In most of its layers a patch attends only to the patches of its own window (112 pixels a side). transformers calls
attention once for every window, thousands of times a page. Windows have four sizes at most: whole, cut off at the right
edge, at the lower edge, and in the corner; each size is one call here.
"""

from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

Integers = npt.NDArray[np.int64]

# The MLP's width is padded to a multiple of this many values: 128 bytes in half precision, a GPU's unit of reading.
_WIDTH_MULTIPLE = 64
# Page sizes whose layout is kept. Chosen: a document has pages of a size or two, and each layout takes megabytes of the
# GPU that no memory plan counts.
_MAX_LAYOUTS = 8


class WindowOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The order of a page's visual tokens in the tower: windows of equal size follow each other."""

    #: The row-major number of the token at each place.
    order: Integers
    #: Number of windows and tokens in each, for each size, in order.
    groups: tuple[tuple[int, int], ...]


def window_order(rows: int, columns: int, side: int) -> WindowOrder:
    """The order for a page of rows x columns visual tokens and windows of `side` x `side` tokens."""
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

    Some weights are rearranged in place: the model still works, in no more memory. `mean` and `std` are the image
    processor's, for the colours red, green and blue.
    """

    def __init__(self, visual: Any, *, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        self._visual = visual
        self._patch_size = visual.config.patch_size
        self._merge_size = visual.config.spatial_merge_size
        self._temporal_patch_size = visual.config.temporal_patch_size
        self._window_tokens = visual.config.window_size // self._patch_size // self._merge_size
        weight = visual.patch_embed.proj.weight
        # (hidden_size, values of a patch). The convolution's stride is its kernel's size, so it is a matrix product,
        # and far faster as one.
        self._patch_embed = weight.view(weight.shape[0], -1)
        self._mean = torch.tensor(mean, device=weight.device).view(-1, 1, 1)
        self._std = torch.tensor(std, device=weight.device).view(-1, 1, 1)
        self._mlps = [_MLP(block.mlp) for block in visual.blocks]
        self._layout = lru_cache(maxsize=_MAX_LAYOUTS)(self._make_layout)

    @torch.inference_mode()
    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """The visual tokens (rows x columns, H) of a page: uint8 (height, width, 3) on the tower's device.

        H is the text tower's hidden size; a visual token is a square of 28 pixels a side.
        """
        token_pixels = self._patch_size * self._merge_size
        rows, columns = pixels.shape[0] // token_pixels, pixels.shape[1] // token_pixels
        layout = self._layout(rows, columns)
        hidden = functional.linear(self._patches(pixels, rows, columns), self._patch_embed)
        hidden = _reorder(hidden, layout.order, self._merge_size**2)
        for number, block in enumerate(self._visual.blocks):
            full_attention = number in self._visual.fullatt_block_indexes
            groups = ((1, hidden.shape[0]),) if full_attention else layout.groups
            hidden += self._attend(block.attn, _rms_norm(block.norm1, hidden), layout, groups)
            hidden += self._mlps[number](_rms_norm(block.norm2, hidden))
        merged: torch.Tensor = self._visual.merger(hidden)
        return merged[layout.reverse]

    def _patches(self, pixels: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        """(patches, values), the patches of a token one after another, as the family's image processor orders them."""
        patch, merge = self._patch_size, self._merge_size
        image = pixels.permute(2, 0, 1).float().mul(1 / 255).sub(self._mean).div(self._std)
        parts = image.view(3, rows, merge, patch, columns, merge, patch).permute(1, 4, 2, 5, 0, 3, 6)
        # The tower takes an image as a video of two equal frames.
        frames = parts.unsqueeze(5).expand(*parts.shape[:5], self._temporal_patch_size, patch, patch)
        return frames.reshape(rows * columns * merge**2, -1).to(self._patch_embed.dtype)

    def _attend(self, attention: Any, hidden: torch.Tensor, layout: "_PageLayout", groups: Any) -> torch.Tensor:
        """Attention within each window of `groups`; (patches, hidden_size)."""
        count, heads = hidden.shape[0], attention.num_heads
        qkv = attention.qkv(hidden).view(count, 3, heads, -1)
        query, key = _apply_rotary(qkv[:, :2], layout).unbind(1)
        value = qkv[:, 2]
        parts, start = [], 0
        for windows, size in groups:
            end = start + windows * size
            q, k, v = (part[start:end].view(windows, size, heads, -1).transpose(1, 2) for part in (query, key, value))
            attended = functional.scaled_dot_product_attention(q, k, v, scale=attention.scaling)
            parts.append(attended.transpose(1, 2).reshape(end - start, -1))
            start = end
        out: torch.Tensor = attention.proj(torch.cat(parts) if len(parts) > 1 else parts[0])
        return out

    def _make_layout(self, rows: int, columns: int) -> "_PageLayout":
        device, merge = self._mean.device, self._merge_size
        windows = window_order(rows, columns, self._window_tokens)
        order = torch.from_numpy(windows.order).to(device)
        token_row, token_column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        inner_row, inner_column = torch.meshgrid(torch.arange(merge), torch.arange(merge), indexing="ij")
        row = (token_row.reshape(-1, 1) * merge + inner_row.reshape(1, -1)).reshape(-1)
        column = (token_column.reshape(-1, 1) * merge + inner_column.reshape(1, -1)).reshape(-1)
        cos, sin = self._visual.rotary_pos_emb(self._mean, torch.stack([row, column], dim=1).to(device))
        # As in `text`: the halves of a head, swapped, then need no sign of their own.
        first, second = sin.chunk(2, dim=-1)
        sin = torch.cat((-first, second), dim=-1)
        return _PageLayout(
            order=order,
            reverse=torch.argsort(order),
            cos=_reorder(cos, order, merge**2)[:, None, None],
            sin=_reorder(sin, order, merge**2)[:, None, None],
            groups=tuple((count, size * merge**2) for count, size in windows.groups),
        )


class _PageLayout(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from a page's size, on the device."""

    #: The row-major number of the visual token at each place, and the reverse.
    order: torch.Tensor
    reverse: torch.Tensor
    #: The rotation of each patch: (patches, 1, 1, head_dim).
    cos: torch.Tensor
    sin: torch.Tensor
    #: Number of windows and patches in each, for each size.
    groups: tuple[tuple[int, int], ...]


def _reorder(patches: torch.Tensor, order: torch.Tensor, area: int) -> torch.Tensor:
    """The patches in another order of tokens; the `area` patches of a token stay together."""
    return patches.view(-1, area, patches.shape[-1])[order].view(patches.shape)


def _apply_rotary(query_key: torch.Tensor, layout: _PageLayout) -> torch.Tensor:
    """Queries and keys (patches, 2, heads, head_dim), rotated by their positions, in single precision."""
    first, second = query_key.chunk(2, dim=-1)
    rotated = query_key * layout.cos
    return rotated.addcmul_(torch.cat((second, first), dim=-1), layout.sin).to(query_key.dtype)


def _rms_norm(norm: Any, hidden: torch.Tensor) -> torch.Tensor:
    # Fused: the module's own forward makes several passes over memory.
    return functional.rms_norm(hidden, norm.weight.shape, norm.weight, norm.variance_epsilon)


class _MLP:
    """A block's MLP: gate and up projection in one product, the width (3,420 in the family) padded with zeros.

    Rows that do not begin at a multiple of the GPU's word keep matrix products from their fast kernels. The zeros add
    nothing: the activation of 0 is 0.
    """

    def __init__(self, mlp: Any) -> None:
        self._activation = mlp.act_fn
        self._down_proj, self._down_bias = mlp.down_proj.weight.data, mlp.down_proj.bias
        hidden_size, width = self._down_proj.shape
        padded = -(-width // _WIDTH_MULTIPLE) * _WIDTH_MULTIPLE
        self._gate_up_proj = self._down_proj.new_zeros(2 * padded, hidden_size)
        self._gate_up_bias = self._down_proj.new_zeros(2 * padded)
        for start, proj in ((0, mlp.gate_proj), (padded, mlp.up_proj)):
            self._gate_up_proj[start : start + width] = proj.weight.data
            self._gate_up_bias[start : start + width] = proj.bias.data
            proj.weight.data = self._gate_up_proj[start : start + width]
        self._down_proj = functional.pad(self._down_proj, (0, padded - width))
        mlp.down_proj.weight.data = self._down_proj[:, :width]

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        gate, up = functional.linear(hidden, self._gate_up_proj, self._gate_up_bias).chunk(2, dim=-1)
        return functional.linear(self._activation(gate) * up, self._down_proj, self._down_bias)
