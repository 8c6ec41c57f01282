"""A page as the model takes it: scaled pixels, and the prompt around them as tokens with their positions.

The model sees a picture as patches of 14 pixels a side, four of which (2 x 2) become one visual token. Positions are
those of multimodal RoPE (Qwen2-VL, arXiv:2409.12191): text counts on in all three of time, height and width; a
picture's tokens share one time and take their row and column.
"""

import math
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from services.worker.engines.picture import Pixels
from services.worker.engines.transcriber import Untranscribable

Integers = npt.NDArray[np.int64]


class PageSize(msgspec.Struct, frozen=True, kw_only=True):
    """Between which numbers of pixels a page is shown, and the multiple (pixels) that its sides have to be."""

    min_pixels: int
    max_pixels: int
    factor: int = 28

    def fitted(self, pixels: Pixels, scale: float = 1.0) -> tuple[int, int]:
        """Height and width to show a page at. Raises `Untranscribable` for a mere strip.

        `scale` multiplies the sides that the page would be shown at, within the limits.
        """
        height, width = pixels.shape[:2]
        try:
            tall, wide = smart_resize(
                height, width, factor=self.factor, min_pixels=self.min_pixels, max_pixels=self.max_pixels
            )
            if scale != 1.0:
                tall, wide = smart_resize(
                    max(self.factor, round(tall * scale)),
                    max(self.factor, round(wide * scale)),
                    factor=self.factor,
                    min_pixels=self.min_pixels,
                    max_pixels=self.max_pixels,
                )
        except ValueError as error:
            raise Untranscribable(
                "The page is a strip far longer than wide, which the model cannot see. Cut it into pages."
            ) from error
        return int(tall), int(wide)

    @property
    def max_tokens(self) -> int:
        """The most visual tokens that a page can come to."""
        # A page is at least one token wide, so an extreme strip may round up by one along its length.
        return self.max_pixels // self.factor**2 + math.isqrt(self.max_pixels) // self.factor


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """The token ids before and after the picture's own, and the id that stands for each visual token."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    picture: int

    def tokens(self, visual: int) -> Integers:
        """The ids of the whole prompt around `visual` tokens of a picture."""
        return np.array([*self.before, *[self.picture] * visual, *self.after], dtype=np.int64)

    def positions(self, rows: int, columns: int) -> Integers:
        """(3, length): time, height and width of each token around a picture of rows x columns visual tokens."""
        start = len(self.before)
        text = np.arange(start)
        row, column = np.divmod(np.arange(rows * columns), columns)
        picture = np.stack([np.zeros_like(row), row, column]) + start
        tail = np.arange(len(self.after)) + start + max(rows, columns)
        return np.concatenate([np.tile(text, (3, 1)), picture, np.tile(tail, (3, 1))], axis=1)

    def __len__(self) -> int:
        """How many tokens it has besides the picture's."""
        return len(self.before) + len(self.after)


def make_prompt(processor: Any, text: str) -> Prompt:
    """The model's own chat template around a picture and `text`."""
    ids = processor.tokenizer(conversation(processor, text), add_special_tokens=False)["input_ids"]
    at = ids.index(processor.image_token_id)
    return Prompt(before=tuple(ids[:at]), after=tuple(ids[at + 1 :]), picture=processor.image_token_id)


def conversation(processor: Any, text: str) -> str:
    """A user's message of one picture and `text`, and the beginning of the answer, in the model's own template."""
    message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}
    made = processor.apply_chat_template([message], add_generation_prompt=True, tokenize=False)
    assert isinstance(made, str)
    return made


def scaled(pixels: Pixels, height: int, width: int) -> Pixels:
    """The page at another size, as the family's image processor scales it (bicubic)."""
    if pixels.shape[:2] != (height, width):
        pixels = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
    # Pillow's arrays may not be written to, and torch takes no others.
    return np.require(pixels, requirements=("C", "W"))
