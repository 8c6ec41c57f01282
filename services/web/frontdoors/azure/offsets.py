"""Offsets into `content` as a client counts them."""

from enum import StrEnum
from itertools import accumulate


class StringIndex(StrEnum):
    """What `offset` and `length` count. Azure's third way, clusters of characters, is answered in code points."""

    #: As Python's strings.
    CODE_POINTS = "unicodeCodePoint"
    #: As strings of JavaScript, Java and .NET.
    UTF16 = "utf16CodeUnit"


class Offsets:
    """The offsets of a text that begins at `base`."""

    def __init__(self, text: str, index: StringIndex, base: int) -> None:
        self._base = base
        self._wider: list[int] | None = None
        if index is StringIndex.UTF16 and any(character > "\uffff" for character in text):
            self._wider = [0, *accumulate(character > "\uffff" for character in text)]
        #: The offset of the text's end.
        self.end = self.at(len(text))

    def at(self, position: int) -> int:
        """The offset of this code point of the text."""
        return self._base + position + (self._wider[position] if self._wider else 0)
