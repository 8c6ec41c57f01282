"""The model's input for a page: its pixels at the model's size, and the prompt as token ids with their positions.

The model sees an image as patches of 14 pixels a side; four of them (2 x 2) become one visual token. Positions are
those of multimodal RoPE (Qwen2-VL, arXiv:2409.12191): text advances all three of time, height and width; the visual
tokens of an image have one time, and their row and column.
"""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image

from services.worker.engines.picture import Pixels

Integers = npt.NDArray[np.int64]


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


def make_prompt(processor: Any, text: str, *, image_first: bool = True) -> Prompt:
    """The prompt of one image and `text`, in the model's own chat template."""
    templated = chat_text(processor, text, image_first=image_first)
    ids = processor.tokenizer(templated, add_special_tokens=False)["input_ids"]
    at = ids.index(processor.image_token_id)
    return Prompt(before=tuple(ids[:at]), after=tuple(ids[at + 1 :]), image_token_id=processor.image_token_id)


def chat_text(processor: Any, text: str, *, image_first: bool = True) -> str:
    """A user's message of one image and `text`, and the start of the answer, in the model's own chat template."""
    content: list[dict[str, str]] = [{"type": "image"}, {"type": "text", "text": text}]
    message = {"role": "user", "content": content if image_first else content[::-1]}
    templated = processor.apply_chat_template([message], add_generation_prompt=True, tokenize=False)
    assert isinstance(templated, str)
    return templated


def resize(pixels: Pixels, height: int, width: int) -> Pixels:
    """The page at another size, as the family's image processor resizes it (bicubic)."""
    if pixels.shape[:2] != (height, width):
        pixels = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
    # Pillow's arrays are read-only, and torch takes writable ones only.
    return np.require(pixels, requirements=("C", "W"))
