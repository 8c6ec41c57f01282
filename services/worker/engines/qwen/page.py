"""The model's input for a page: its pixels at the model's size, and the prompt as token ids with their positions.

The model sees an image as patches of 14 pixels a side; four of them (2 x 2) become one visual token. Positions are
those of multimodal RoPE (Qwen2-VL, arXiv:2409.12191): text advances all three of time, height and width; the visual
tokens of an image have one time, and their row and column.
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


class PixelLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of the image processor's `smart_resize`: pixels of an image, and the multiple of its sides."""

    min_pixels: int
    max_pixels: int
    #: Pixels a side of one visual token.
    factor: int = 28

    def target_size(self, pixels: Pixels, scale: float = 1.0) -> tuple[int, int]:
        """Height and width at which the model sees a page. Raises `Untranscribable` for a page of extreme shape.

        `scale` multiplies the sides that the page would have without it, within the limits.
        """
        height, width = pixels.shape[:2]
        try:
            height, width = smart_resize(
                height, width, factor=self.factor, min_pixels=self.min_pixels, max_pixels=self.max_pixels
            )
            if scale != 1.0:
                height, width = smart_resize(
                    max(self.factor, round(height * scale)),
                    max(self.factor, round(width * scale)),
                    factor=self.factor,
                    min_pixels=self.min_pixels,
                    max_pixels=self.max_pixels,
                )
        except ValueError as error:
            raise Untranscribable(
                "The page is a strip far longer than wide, which the model cannot see. Cut it into pages."
            ) from error
        return int(height), int(width)

    @property
    def max_visual_tokens(self) -> int:
        """The most visual tokens of a page."""
        # A page is at least one token wide, so an extreme strip may round up by one along its length.
        return self.max_pixels // self.factor**2 + math.isqrt(self.max_pixels) // self.factor


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """The token ids before and after those of the image, and the id that stands for each visual token."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    image_token_id: int

    def input_ids(self, visual_tokens: int) -> Integers:
        """The ids (length,) of the whole prompt, around the visual tokens of an image."""
        return np.array([*self.before, *[self.image_token_id] * visual_tokens, *self.after], dtype=np.int64)

    def position_ids(self, rows: int, columns: int) -> Integers:
        """(3, length): time, height and width of each token, around an image of rows x columns visual tokens."""
        start = len(self.before)
        text = np.arange(start)
        row, column = np.divmod(np.arange(rows * columns), columns)
        image = np.stack([np.zeros_like(row), row, column]) + start
        tail = np.arange(len(self.after)) + start + max(rows, columns)
        return np.concatenate([np.tile(text, (3, 1)), image, np.tile(tail, (3, 1))], axis=1)

    def __len__(self) -> int:
        """The number of tokens besides the image's."""
        return len(self.before) + len(self.after)


def make_prompt(processor: Any, text: str) -> Prompt:
    """The prompt of one image and `text`, in the model's own chat template."""
    ids = processor.tokenizer(chat_text(processor, text), add_special_tokens=False)["input_ids"]
    at = ids.index(processor.image_token_id)
    return Prompt(before=tuple(ids[:at]), after=tuple(ids[at + 1 :]), image_token_id=processor.image_token_id)


def chat_text(processor: Any, text: str) -> str:
    """A user's message of one image and `text`, and the start of the answer, in the model's own chat template."""
    message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}
    templated = processor.apply_chat_template([message], add_generation_prompt=True, tokenize=False)
    assert isinstance(templated, str)
    return templated


def resize(pixels: Pixels, height: int, width: int) -> Pixels:
    """The page at another size, as the family's image processor resizes it (bicubic)."""
    if pixels.shape[:2] != (height, width):
        pixels = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
    # Pillow's arrays are read-only, and torch takes writable ones only.
    return np.require(pixels, requirements=("C", "W"))
