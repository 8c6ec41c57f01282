"""How large a model sees a page."""

import math

import msgspec

from services.worker.engines.engine import Untranscribable
from services.worker.engines.picture import Pixels

# The longer side of a page divided by the shorter one, past which Qwen2-VL's image processor refuses it.
_MAX_RATIO = 200


class PixelLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of the image that a model sees, as Qwen2-VL's image processor keeps them (`smart_resize`)."""

    #: Pixels of the image; a smaller page is enlarged.
    min_pixels: int
    #: Pixels of the image; a larger page is reduced.
    max_pixels: int
    #: Pixels: both sides are multiples of it. 28 is a side of one visual token of Qwen2.5-VL.
    factor: int = 28
    #: Pixels of the longer side; a longer page is reduced first. None: no such limit.
    max_side: int | None = None

    def target_size(self, pixels: Pixels, scale: float = 1.0) -> tuple[int, int]:
        """Height and width at which the model sees a page. Raises `Untranscribable` for a page of extreme shape.

        `scale` multiplies the sides that the page would have without it, within the limits.
        """
        height, width = pixels.shape[:2]
        if self.max_side is not None and max(height, width) > self.max_side:
            share = self.max_side / max(height, width)
            height, width = max(1, round(height * share)), max(1, round(width * share))
        height, width = self._fit(height, width)
        if scale != 1.0:
            height, width = self._fit(max(self.factor, round(height * scale)), max(self.factor, round(width * scale)))
        return height, width

    @property
    def max_visual_tokens(self) -> int:
        """The most visual tokens of a page, where one is a square of `factor` pixels a side."""
        # A page is at least one token wide, so an extreme strip may round up by one along its length.
        return self.max_pixels // self.factor**2 + math.isqrt(self.max_pixels) // self.factor

    def _fit(self, height: int, width: int) -> tuple[int, int]:
        """The size in whole multiples of `factor`, the area within the limits and the shape kept."""
        if max(height, width) > _MAX_RATIO * min(height, width):
            raise Untranscribable(
                "The page is a strip far longer than wide, which the model cannot see. Cut it into pages."
            )
        factor = self.factor
        tall, wide = round(height / factor) * factor, round(width / factor) * factor
        if tall * wide > self.max_pixels:
            shrink = math.sqrt(height * width / self.max_pixels)
            tall = max(factor, math.floor(height / shrink / factor) * factor)
            wide = max(factor, math.floor(width / shrink / factor) * factor)
        elif tall * wide < self.min_pixels:
            grow = math.sqrt(self.min_pixels / (height * width))
            tall, wide = math.ceil(height * grow / factor) * factor, math.ceil(width * grow / factor) * factor
        return tall, wide
