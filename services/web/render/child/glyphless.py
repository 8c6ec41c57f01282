"""A PDF font without glyphs: its text leaves no mark, and viewers search, select and copy it.

A Type0 font whose two-byte codes are the characters' own numbers (ISO 32000-1, 9.7; ToUnicode: 9.10.3), as Tesseract
and OCRmyPDF write it. Viewers place a word by the widths of its characters, so those are about what print has.
"""

import base64
import unicodedata
from collections.abc import Iterator

#: A TrueType font of one empty box: `tessdata/pdf.ttf` of Tesseract (Apache License 2.0).
PROGRAM = base64.b64decode(
    "AAEAAAAKAIAAAwAgT1MvMlbeyJQAAAEoAAAAYGNtYXAACgA0AAABkAAAAB5nbHlmFSJBJAAAAbgAAAAYaGVhZAt48WUAAACsAAAANmhoZWEMAgQC"
    "AAAA5AAAACRobXR4BAAAAAAAAYgAAAAIbG9jYQAMAAAAAAGwAAAABm1heHAABAAFAAABCAAAACBuYW1l8usW2gAAAdAAAABLcG9zdAABAAEAAAIc"
    "AAAAIAABAAAAAQAAsJRxEF8PPPUEBwgAAAAAAM+a/G4AAAAA1MOn8gAAAAAEAAgAAAAAEAACAAAAAAAAAAEAAAgA//8AAAQAAAAAAAQAAAEAAAAA"
    "AAAAAAAAAAAAAAACAAEAAAACAAQAAQAAAAAAAQAAAAAAAAAAAAAAAAAAAAAAAwAAAZAABQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAUAAQABAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAR09PRwBAAAAAAAAB//8AAAABAAGAAAAAAAAAAAAAAAAAAAABAAAAAAAABAAAAAAAAAIAAQAAAAAAFAADAAAAAAAU"
    "AAYACgAAAAAAAAAAAAAAAAAMAAAAAQAAAAAEAAgAAAMAADEhESEEAPwACAAAAAADACoAAAADAAAABQAWAAAAAQAAAAAABQALABYAAwABBAkABQAW"
    "AAAAVgBlAHIAcwBpAG8AbgAgADEALgAwVmVyc2lvbiAxLjAAAAEAAAAAAAAAAAAAAAAAAQAAAAAAAAAAAAAAAAAAAAA="
)

#: Parts of the font's size in which widths are given (ISO 32000-1, 9.7.4.3).
UNITS = 1000
#: Of a character that is in no range below. Chosen: about the mean of the small letters below.
DEFAULT_WIDTH = 480
# From the space to the tilde: the means of Helvetica and Times Roman (Adobe Font Metrics for the 14 standard fonts),
# since a scan may be set in either kind.
_ASCII = (
    *(264, 306, 381, 528, 528, 861, 722, 186, 333, 333, 444, 574, 264, 333, 264, 278),
    *(528, 528, 528, 528, 528, 528, 528, 528, 528, 528, 278, 278, 574, 574, 574, 500),
    *(968, 694, 667, 694, 722, 639, 583, 750, 722, 306, 444, 694, 583, 861, 722, 750),
    *(611, 750, 694, 611, 611, 722, 694, 944, 694, 694, 611, 306, 278, 306, 469, 528),
    *(333, 500, 528, 472, 528, 500, 306, 528, 528, 250, 250, 500, 250, 806, 528, 528),
    *(528, 528, 333, 444, 278, 528, 500, 722, 500, 500, 472, 407, 230, 407, 562),
)
_SPACE = 0x20
# Marks that stand over or under the letter before them, and joiners.
_NARROW = (
    *((0x0300, 0x036F), (0x0483, 0x0489), (0x0591, 0x05BD), (0x05BF, 0x05BF), (0x05C1, 0x05C2), (0x05C4, 0x05C5)),
    *((0x0610, 0x061A), (0x064B, 0x065F), (0x0670, 0x0670), (0x06D6, 0x06DC), (0x093C, 0x093C), (0x0941, 0x0948)),
    *((0x094D, 0x094D), (0x0E31, 0x0E31), (0x0E34, 0x0E3A), (0x0E47, 0x0E4E), (0x200B, 0x200F), (0x20D0, 0x20F0)),
    *((0xFE00, 0xFE0F), (0xFE20, 0xFE2F)),
)
# East Asian characters as wide as they are high (Unicode Standard Annex 11), and those beyond the basic plane.
_WIDE = (
    *((0x1100, 0x115F), (0x2E80, 0x303E), (0x3041, 0xA4CF), (0xAC00, 0xD7A3), (0xD800, 0xDFFF), (0xF900, 0xFAFF)),
    *((0xFE30, 0xFE4F), (0xFF00, 0xFF60), (0xFFE0, 0xFFE6)),
)
_SURROGATES = range(0xD800, 0xE000)
_BASIC_PLANE = 0x10000
_UNKNOWN = 0xFFFD
# Entries of one block of a CMap (Adobe Technical Note 5014).
_BLOCK = 100

#: The glyph of every code: all are the empty one.
GLYPHS = b"\0\1" * _BASIC_PLANE


class Codes:
    """The codes that a document uses.

    A character of the basic plane has its own number. All others have those of the surrogates, which stand for no
    character, in the order in which they come: 2,048 different ones in a document, and U+FFFD for the rest.
    """

    def __init__(self) -> None:
        self._others: dict[str, int] = {}
        self._rows: set[int] = set()

    def of(self, text: str) -> list[int]:
        """The codes of the characters; control characters are spaces."""
        return [self._of(character) for character in text]

    def to_unicode(self) -> bytes:
        """The CMap from the codes used so far to Unicode."""
        ranges = [f"<{row:02X}00> <{row:02X}FF> <{row:02X}00>" for row in sorted(self._rows)]
        singles = [f"<{code:04X}> <{one.encode('utf-16-be').hex().upper()}>" for one, code in self._others.items()]
        body = "\n".join([*_blocks("bfrange", ranges), *_blocks("bfchar", singles)])
        return (
            "/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n"
            "/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def\n"
            "/CMapName /Adobe-Identity-UCS def\n/CMapType 2 def\n"
            f"1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n{body}\n"
            "endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n"
        ).encode("ascii")

    def _of(self, character: str) -> int:
        number = ord(character)
        if number >= _BASIC_PLANE:
            if character in self._others or len(self._others) < len(_SURROGATES):
                return self._others.setdefault(character, _SURROGATES[0] + len(self._others))
            number = _UNKNOWN
        elif unicodedata.category(character) == "Cc":
            number = _SPACE
        elif number in _SURROGATES:
            number = _UNKNOWN
        self._rows.add(number >> 8)
        return number


def width(code: int) -> int:
    """The width of a code in `UNITS`."""
    if 0 <= code - _SPACE < len(_ASCII):
        return _ASCII[code - _SPACE]
    if any(first <= code <= last for first, last in _NARROW):
        return 0
    return UNITS if any(first <= code <= last for first, last in _WIDE) else DEFAULT_WIDTH


def widths() -> str:
    """The array `W` of the font (ISO 32000-1, 9.7.4.3)."""
    ranges = sorted([*((first, last, 0) for first, last in _NARROW), *((first, last, UNITS) for first, last in _WIDE)])
    others = " ".join(f"{first} {last} {wide}" for first, last, wide in ranges)
    return f"[{_SPACE} [{' '.join(map(str, _ASCII))}] {others}]"


def _blocks(kind: str, entries: list[str]) -> Iterator[str]:
    for start in range(0, len(entries), _BLOCK):
        block = entries[start : start + _BLOCK]
        yield "\n".join([f"{len(block)} begin{kind}", *block, f"end{kind}"])
