"""The operators that write a page's lines as invisible text, each where it is printed."""

import math
from collections.abc import Iterator, Sequence

from libs.page.block import Line, Point
from services.web.render.child.bidi import visual_order
from services.web.render.child.glyphless import UNITS, Codes, width

#: A mapping of the plane: a, b, c, d, e, f of x' = ax + cy + e, y' = bx + dy + f (ISO 32000-1, 8.3.3).
Matrix = tuple[float, float, float, float, float, float]

# A box so many times as high as long has text that runs down, if it has several characters. RapidOCR turns boxes from
# 1.5 on before it reads them.
_UPRIGHT = 1.5
# Points. What is smaller cannot be selected, and would need numbers of more digits.
_MIN_SIDE = 0.1
# A page's own coordinates are at most some thousands of points; a box further out is a fault of an engine.
_MAX_COORDINATE = 1e6


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
    corners = _upright(line)
    for text, start, end in _pieces(line, corners):
        shown = codes.of(visual_order(text))
        natural = sum(map(width, shown)) / UNITS
        placed = _placed(corners, start, end, to_page)
        if natural <= 0 or placed is None:
            continue
        (along_x, along_y), (up_x, up_y), (x, y) = placed
        matrix = (along_x / natural, along_y / natural, up_x, up_y, x, y)
        # Viewers do not see every end of a line: without a space its last word and the next line's first are one.
        shown += codes.of(" ")
        yield f"{' '.join(map(_number, matrix))} Tm <{''.join(f'{code:04X}' for code in shown)}> Tj"


def _upright(line: Line) -> Sequence[Point]:
    """The corners from the start of the text, upper side first. Boxes of text that runs down begin at its top right."""
    a, b, c, d = line.box
    if len(line.text) > 1 and math.dist(a, d) > _UPRIGHT * math.dist(a, b):
        return b, c, d, a
    return a, b, c, d


def _pieces(line: Line, corners: Sequence[Point]) -> Iterator[tuple[str, float, float]]:
    """What is placed by itself, from left to right: text, and its start and end as shares of the line.

    The words where the source knows them all; else the line, whose words are then placed by their widths.
    """
    (left_x, left_y), (right_x, right_y) = corners[3], corners[2]
    across, down = right_x - left_x, right_y - left_y
    square = across * across + down * down
    words = [word for word in line.words if word.text.strip()]
    text = " ".join(line.text.split())
    if square <= 0 or "".join("".join(word.text.split()) for word in words) != text.replace(" ", ""):
        if text:
            yield text, 0.0, 1.0
        return
    found = []
    for word in words:
        left, top, right, bottom = word.box
        middle_x, middle_y = (left + right) / 2 - left_x, (top + bottom) / 2 - left_y
        middle = (middle_x * across + middle_y * down) / square
        half = (abs(across) * (right - left) + abs(down) * (bottom - top)) / square / 2
        # A turned word is shorter than the rectangle around it.
        half = min(half, max(right - left, bottom - top) / math.sqrt(square) / 2)
        found.append((" ".join(word.text.split()), middle - half, middle + half))
    yield from sorted(found, key=lambda piece: piece[1])


def _placed(corners: Sequence[Point], start: float, end: float, to_page: Matrix) -> tuple[Point, Point, Point] | None:
    """The piece's direction and length, the way up, and where it begins, in the page's coordinates.

    None where it has no extent, or lies nowhere near a page.
    """
    upper, _, right, left = (_mapped(corner, to_page) for corner in corners)
    along = right[0] - left[0], right[1] - left[1]
    up = upper[0] - left[0], upper[1] - left[1]
    begin = left[0] + start * along[0], left[1] + start * along[1]
    piece = (end - start) * along[0], (end - start) * along[1]
    numbers = (*piece, *up, *begin)
    if not all(math.isfinite(one) and abs(one) < _MAX_COORDINATE for one in numbers):
        return None
    if math.hypot(*piece) < _MIN_SIDE or math.hypot(*up) < _MIN_SIDE:
        return None
    return piece, up, begin


def _mapped(point: Point, matrix: Matrix) -> Point:
    (x, y), (a, b, c, d, e, f) = point, matrix
    return a * x + c * y + e, b * x + d * y + f


def _number(value: float) -> str:
    """A number as PDF writes it, without an exponent (ISO 32000-1, 7.3.3)."""
    return f"{value:.3f}".rstrip("0").rstrip(".")
