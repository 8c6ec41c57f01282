"""The operators that write a page's lines as invisible text, each where it is printed."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise

import msgspec

from libs.page.block import Line, Point, Word
from services.web.render.child.bidi import visual_order
from services.web.render.child.glyphless import UNITS, Codes, width

#: A mapping of the plane: a, b, c, d, e, f of x' = ax + cy + e, y' = bx + dy + f (ISO 32000-1, 8.3.3).
Matrix = tuple[float, float, float, float, float, float]

# A box so many times as high as long has text that runs down, if it has several characters. RapidOCR turns boxes from
# 1.5 on before it reads them.
_UPRIGHT = 1.5
# The tangent of the tilt up to which text is set level, and the share of a line's height by which a level piece may
# depart from the tilted line at its ends, where it is more than a word. Both measured with pdftotext 22.12: tilted text
# is split within words, from a tilt of 1.5 degrees on, and level words stay whole up to 5 degrees.
_CROOKED = math.tan(math.radians(5))
_DRIFT = 0.25
# Chromium's viewer sorts texts that follow each other and begin at the same height from left to right: lines that run
# up or down, or the end of a crooked line and the beginning of the next. A space between them that is a text of its own
# prevents it, raised by so much of the line's height. Heights count as the same up to half a character's width, which
# is the line's height at most (PDFium, `CPDF_TextPage::ProcessTextObject`); MuPDF begins a new line from 0.8 on.
_RISE = 0.6
# Points. What is smaller cannot be selected, and would need numbers of more digits.
_MIN_SIDE = 0.1
# A page's own coordinates are at most some thousands of points; a box further out is a fault of an engine.
_MAX_COORDINATE = 1e6


class _Course(msgspec.Struct, frozen=True, kw_only=True):
    """The direction of a line on the page as it is seen."""

    #: Its corners from the start of the text, upper side first.
    corners: tuple[Point, Point, Point, Point]
    #: By how much its end is above or below its start, as a share of its height; 0 where it is not set level.
    drift: float
    #: It runs up or down.
    vertical: bool
    #: It runs to the left: the page is upside down.
    inverted: bool


class _Piece(msgspec.Struct, frozen=True, kw_only=True):
    """What is placed by itself."""

    #: From left to right.
    text: str
    #: Shares of the line's length.
    start: float
    end: float
    #: A space follows.
    spaced: bool


def operators(lines: Sequence[Line], to_page: Matrix, codes: Codes, font: str) -> bytes:
    """A content stream for these lines, in reading order; empty where none of them can be placed.

    `to_page` maps the lines' coordinates to the page's own. The stream changes nothing for what follows it.
    """
    shown = [operator for line in lines for operator in _line(line, to_page, codes)]
    if not shown:
        return b""
    # Mode 3: text that is neither filled nor stroked (ISO 32000-1, 9.3.6). The matrices have the size.
    return "\n".join(["q", "BT", f"/{font} 1 Tf", "3 Tr", *shown, "ET", "Q", ""]).encode("ascii")


def _line(line: Line, to_page: Matrix, codes: Codes) -> Iterator[str]:
    course = _course(line)
    if course is None:
        return
    pieces = list(_pieces(line, course, codes))
    for piece in pieces:
        shown = codes.of(piece.text)
        natural = sum(map(width, shown)) / UNITS
        placed = _placed(piece, course, to_page)
        if natural <= 0 or placed is None:
            continue
        (along_x, along_y), (up_x, up_y), (x, y) = placed
        matrix = (along_x / natural, along_y / natural, up_x, up_y, x, y)
        # Viewers do not see every end of a line: without a space its last word and the next line's first are one.
        space = _hexadecimal(codes.of(" ")) if piece.spaced else ""
        if piece is pieces[-1] and (course.vertical or course.drift > _DRIFT):
            space = f"> Tj {_RISE} Ts <{space}> Tj 0 Ts"
        else:
            space += "> Tj"
        yield f"{' '.join(map(_number, matrix))} Tm <{_hexadecimal(shown)}{space}"


def _course(line: Line) -> _Course | None:
    """None for a line without extent."""
    a, b, c, d = line.box
    # Boxes of text that runs down begin at its top right.
    if len(line.text) > 1 and math.dist(a, d) > _UPRIGHT * math.dist(a, b):
        a, b, c, d = b, c, d, a
    across, down, height = c[0] - d[0], c[1] - d[1], math.dist(a, d)
    if height <= 0 or across * across + down * down <= 0:
        return None
    small, large = sorted((abs(across), abs(down)))
    vertical = abs(down) > abs(across)
    return _Course(
        corners=(a, b, c, d),
        drift=small / height if small <= _CROOKED * large else 0.0,
        vertical=vertical,
        inverted=across < 0 and not vertical,
    )


def _pieces(line: Line, course: _Course, codes: Codes) -> Iterable[_Piece]:
    """The line from left to right: its words, where the source knows them all, else parts placed by their widths."""
    text = " ".join(line.text.split())
    words = [word for word in line.words if word.text.strip()]
    known = bool(words) and "".join("".join(word.text.split()) for word in words) == text.replace(" ", "")
    # Of a page that is upside down Chromium's viewer would sort the parts of a line into the wrong order.
    if known and not course.inverted:
        return sorted((_of_word(word, course) for word in words), key=lambda piece: piece.start)
    shown = visual_order(text)
    return _parts(shown, 0.0 if course.inverted else course.drift, [width(code) for code in codes.of(shown)])


def _of_word(word: Word, course: _Course) -> _Piece:
    """The word where its box is on the line."""
    (left_x, left_y), (right_x, right_y) = course.corners[3], course.corners[2]
    across, down = right_x - left_x, right_y - left_y
    square = across * across + down * down
    left, top, right, bottom = word.box
    middle_x, middle_y = (left + right) / 2 - left_x, (top + bottom) / 2 - left_y
    middle = (middle_x * across + middle_y * down) / square
    half = (abs(across) * (right - left) + abs(down) * (bottom - top)) / square / 2
    # A turned word is shorter than the rectangle around it.
    half = min(half, max(right - left, bottom - top) / math.sqrt(square) / 2)
    text = visual_order(" ".join(word.text.split()))
    return _Piece(text=text, start=middle - half, end=middle + half, spaced=True)


def _parts(text: str, drift: float, widths: Sequence[int]) -> Iterator[_Piece]:
    """Pieces as long as `_DRIFT` allows, cut after spaces and around characters as wide as high, as Chinese ones."""
    places = list(accumulate(widths, initial=0))
    total = places[-1]
    cuts = [at for at in range(1, len(text)) if text[at - 1] == " " or UNITS in widths[at - 1 : at + 1]]
    start = 0
    for end, following in pairwise([*cuts, len(text), len(text)]):
        if end < len(text) and (places[following] - places[start]) * drift <= _DRIFT * total:
            continue
        spaced = end == len(text) or text[end - 1] == " "
        shown = text[start:end].rstrip(" ")
        if shown and total:
            yield _Piece(
                text=shown,
                start=places[start] / total,
                end=places[start + len(shown)] / total,
                spaced=spaced,
            )
        start = end


def _placed(piece: _Piece, course: _Course, to_page: Matrix) -> tuple[Point, Point, Point] | None:
    """The piece's direction and length, the way up, and where it begins, in the page's coordinates.

    None where it has no extent, or lies nowhere near a page.
    """
    upper, _, right, left = (_mapped(corner, to_page) for corner in course.corners)
    along = right[0] - left[0], right[1] - left[1]
    up = upper[0] - left[0], upper[1] - left[1]
    begin = left[0] + piece.start * along[0], left[1] + piece.start * along[1]
    along = (piece.end - piece.start) * along[0], (piece.end - piece.start) * along[1]
    numbers = (*along, *up, *begin)
    if not all(math.isfinite(one) and abs(one) < _MAX_COORDINATE for one in numbers):
        return None
    level, upright = _along_axis(along), _along_axis(up)
    is_box = level[0] * upright[1] != level[1] * upright[0]
    if is_box and course.drift > 0 and (course.drift <= _DRIFT or not course.inverted):
        # Turned about its middle.
        begin = (
            begin[0] + (along[0] + up[0] - level[0] - upright[0]) / 2,
            begin[1] + (along[1] + up[1] - level[1] - upright[1]) / 2,
        )
        along, up = level, upright
    if math.hypot(*along) < _MIN_SIDE or math.hypot(*up) < _MIN_SIDE:
        return None
    return along, up, begin


def _along_axis(vector: Point) -> Point:
    """The vector without the smaller of its components."""
    x, y = vector
    return (x, 0.0) if abs(x) >= abs(y) else (0.0, y)


def _mapped(point: Point, matrix: Matrix) -> Point:
    (x, y), (a, b, c, d, e, f) = point, matrix
    return a * x + c * y + e, b * x + d * y + f


def _number(value: float) -> str:
    """A number as PDF writes it, without an exponent (ISO 32000-1, 7.3.3)."""
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _hexadecimal(codes: Iterable[int]) -> str:
    return "".join(f"{code:04X}" for code in codes)
