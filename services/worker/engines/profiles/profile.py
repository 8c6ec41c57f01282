"""A family of models: what it is asked, at which size it sees a page, and how its answer becomes blocks."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from libs.page.block import Block
from services.worker.engines.pixel_limits import PixelLimits


class View(msgspec.Struct, frozen=True, kw_only=True):
    """A page and the image of it that the model saw, in pixels."""

    #: Of the page image as stored.
    width: int
    height: int
    #: Of the image as the model saw it.
    shown_width: int
    shown_height: int


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A model's answer as blocks."""

    blocks: tuple[Block, ...]
    #: Part of it is not in the model's documented format, and stays as text as it was written.
    malformed: bool = False
    #: The clockwise turn in degrees (0, 90, 180, 270) that the page needs to stand upright, as the model says.
    turn: int = 0


#: Makes an answer's text, as the model wrote it, into blocks. It raises nothing, and drops no text.
Reader: TypeAlias = Callable[[str, View], Answer]


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """A published result."""

    #: Of 100.
    value: float
    benchmark: str
    #: Who publishes it.
    source: str


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """How models of one family are asked and understood."""

    #: As `OCR_PROFILE` names it.
    name: str
    #: The repository on the hub.
    model: str
    #: Parts of a model's name, in lower case, of which one makes it a model of this family.
    names: tuple[str, ...]
    #: The text beside the image; empty for a model that takes the image alone.
    prompt: str
    read: Reader
    limits: PixelLimits
    #: Of the first try; retries have at least this one.
    temperature: float = 0.0
    #: Further fields of a request to a server, as JSON values.
    fields: Mapping[str, Any] = {}
    #: Whether the image comes before the prompt, as the model was trained.
    image_first: bool = True
    #: Parameters in billions, as published.
    billions: float = 0.0
    licence: str = ""
    scores: tuple[Score, ...] = ()
    #: The command that serves it with vLLM.
    serve: str = ""
