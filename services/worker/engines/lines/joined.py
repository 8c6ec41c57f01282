"""Boxes of text that the detection network drew across the space between two columns or boxes of the page.

Such a box reads as one line that no column has. It is cut where its ink leaves a gap much wider than its spaces, if the
lines above and below it leave the same gap: one of the two sides begins, or ends, in one place over several lines.

Lengths are in heights of the box unless noted, so that they hold at any DPI. A box is about 1.5 times as high as the
font's size, and a space between two words about 0.2 of its heights.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from services.worker.engines.lines.detector import Quads, height_of, part_of, width_of
from services.worker.engines.lines.glyphs import Glyphs, Rectangles
from services.worker.engines.picture import Pixels

# White space in a line from which it is a space between words, and not one between letters.
_SPACE = 0.15
# A gap between columns: at least so wide, and so many times as wide as the line's usual space; where the line has fewer
# than two other spaces, at least so wide. Chosen: justified lines have spaces of 0.5.
_MIN_GAP, _MIN_SPACES, _MIN_LONE_GAP = 0.6, 2.2, 0.8
# Components of ink that are smaller than this share of a glyph's height are specks.
_SPECK = 0.1
# What has to be white over all the lines: a strip so wide, so far from the side that is in line.
_STRIP, _BESIDE = 0.3, 0.1
# By how much the beginnings, or the ends, of lines may differ that are in one place, and the lines at least that are.
_SAME_PLACE = 0.4
_MIN_LINES = 3
# From line to line of a column at most. Chosen: double spacing.
_MAX_STEP = 2.5
# Width of the left side at least, in one of its lines: narrower ones are the numbers of a list.
_MIN_WIDTH = 1.5
# White space that a cut leaves on both sides at most: the network's boxes have as much.
_MARGIN = 0.25
# A part of a box is empty where at most this share of its pixels differs by so many grey values from the others. What
# stands at its upper and lower edge, by this share of its height, may be of the lines above and below.
_MAX_MARKS, _MARK, _EDGE = 0.01, 30, 0.15
# Slope from which a box is not level; and its width over its height, below which it holds one word.
_MAX_SLOPE = 0.05
_MIN_ASPECT = 3.0


#: Where a part of a box begins and ends along its upper side, in pixels.
_Span: TypeAlias = tuple[float, float]


class _Piece(msgspec.Struct, frozen=True, kw_only=True):
    """The place of a part of a box, or of a gap in one, in pixels of the page."""

    left: float
    right: float
    middle: float
    height: float


def cut(pixels: Pixels, quads: Quads, glyphs: Glyphs) -> Quads:
    """The boxes, those cut that reach across the space between two columns, or far into it."""
    written = [_written(quad, glyphs) for quad in quads]
    pieces = [_place(quad, span) for quad, spans in zip(quads, written, strict=True) for span in spans]
    parts: list[npt.NDArray[np.float64]] = []
    for quad, spans in zip(quads, written, strict=True):
        kept = [spans[0]]
        for span in spans[1:]:
            gap = (kept[-1][1], span[0])
            if _divides(_place(quad, gap), pieces) and _is_empty(pixels, quad, gap):
                kept.append(span)
            else:
                kept[-1] = (kept[-1][0], span[1])
        start, end = _ends(pixels, quad, (kept[0][0], kept[-1][1]), pieces)
        kept[0] = (start, kept[0][1])
        kept[-1] = (kept[-1][0], end)
        parts.extend(_parts(quad, kept))
    return np.array(parts).reshape(-1, 4, 2)


def _is_empty(pixels: Pixels, quad: npt.NDArray[np.float64], span: _Span) -> bool:
    """Whether this part of a box shows nothing, neither dark nor light."""
    part = _part(quad, span)
    (left, top), (right, bottom) = part.min(axis=0), part.max(axis=0)
    edge = _EDGE * (bottom - top)
    shown = pixels[max(round(top + edge), 0) : round(bottom - edge), max(round(left), 0) : round(right)].mean(axis=2)
    if not shown.size:
        return False
    return float((np.abs(shown - np.median(shown)) > _MARK).mean()) <= _MAX_MARKS


def _written(quad: npt.NDArray[np.float64], glyphs: Glyphs) -> list[_Span]:
    """The parts of the box with ink, between gaps that may be those between two columns."""
    (width,), (height,) = width_of(quad[None]).tolist(), height_of(quad[None]).tolist()
    ink = _ink(quad, glyphs)
    if len(ink) < 2 or width < _MIN_ASPECT * height or abs(quad[1, 1] - quad[0, 1]) > _MAX_SLOPE * width:
        return [(0.0, width)]
    reach = np.maximum.accumulate(ink[:, 1])
    gaps = ink[1:, 0] - reach[:-1]
    spaces = gaps[(gaps >= _SPACE * height) & (gaps < _MIN_GAP * height)]
    least = (
        max(_MIN_GAP * height, _MIN_SPACES * float(np.median(spaces))) if len(spaces) >= 2 else _MIN_LONE_GAP * height
    )
    at = np.flatnonzero(gaps >= least)
    starts, ends = [ink[0, 0], *ink[at + 1, 0]], [*reach[at], reach[-1]]
    return [(float(start), float(end)) for start, end in zip(starts, ends, strict=True)]


def _ink(quad: npt.NDArray[np.float64], glyphs: Glyphs) -> Rectangles:
    """Where along the box the components of its ink begin and end (n, 2), in order, in pixels from its left side."""
    boxes = np.concatenate([glyphs.rectangles, glyphs.others, glyphs.strokes])
    boxes = boxes[(boxes[:, 2:] - boxes[:, :2]).max(axis=1) >= _SPECK * glyphs.height]
    (width,), (height,) = width_of(quad[None]).tolist(), height_of(quad[None]).tolist()
    along = (quad[1] - quad[0]) / max(width, 1.0)
    across = np.array([-along[1], along[0]])
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 - quad[0]
    u, v = centres @ along, centres @ across
    inside = (u >= 0) & (u <= width) & (v >= 0) & (v <= height)
    half = (boxes[inside, 2] - boxes[inside, 0]) / 2
    spans = np.stack([u[inside] - half, u[inside] + half], axis=1)
    ordered: Rectangles = spans[np.argsort(spans[:, 0], kind="stable")]
    return ordered


def _place(quad: npt.NDArray[np.float64], span: _Span) -> _Piece:
    part = _part(quad, span)
    (height,) = height_of(quad[None]).tolist()
    return _Piece(
        left=float(part[[0, 3], 0].mean()),
        right=float(part[[1, 2], 0].mean()),
        middle=float(part[:, 1].mean()),
        height=height,
    )


def _divides(gap: _Piece, pieces: Sequence[_Piece]) -> bool:
    """Whether the gap is one between two columns: a side of it is in line over several lines, and no line crosses."""
    unit = gap.height
    at_right, at_left = gap.right - _BESIDE * unit, gap.left + _BESIDE * unit
    return _is_between(gap, (at_right - _STRIP * unit, at_right), pieces, begin=True) or _is_between(
        gap, (at_left, at_left + _STRIP * unit), pieces, begin=False
    )


def _is_between(gap: _Piece, strip: tuple[float, float], pieces: Sequence[_Piece], *, begin: bool) -> bool:
    """Whether the lines on one side of the strip `begin` in one place, or end there, and the other side has as many."""
    unit = gap.height
    crossing = [piece.middle for piece in pieces if piece.left < strip[1] and piece.right > strip[0]]
    top = max((middle for middle in crossing if middle < gap.middle), default=-np.inf)
    bottom = min((middle for middle in crossing if middle > gap.middle), default=np.inf)
    beside = [piece for piece in pieces if top < piece.middle < bottom]
    left = [piece for piece in beside if piece.right <= strip[0] + unit * _STRIP]
    right = [piece for piece in beside if piece.left >= strip[1] - unit * _STRIP]
    edges, others = (right, left) if begin else (left, right)
    place = gap.right if begin else gap.left
    in_line = [piece for piece in edges if abs((piece.left if begin else piece.right) - place) <= _SAME_PLACE * unit]
    if len(in_line) < _MIN_LINES:
        return False
    run = _run(sorted(piece.middle for piece in in_line), gap.middle, _MAX_STEP * unit)
    if len(run) < _MIN_LINES:
        return False
    facing = [piece for piece in others if run[0] - unit <= piece.middle <= run[-1] + unit]
    lefts = facing if begin else in_line
    wide = any(piece.right - piece.left >= _MIN_WIDTH * unit for piece in lefts)
    return wide and len(facing) >= _MIN_LINES


def _run(middles: Sequence[float], own: float, step: float) -> Sequence[float]:
    """The lines around `own` that follow each other by `step` pixels at most."""
    start = min(range(len(middles)), key=lambda at: abs(middles[at] - own))
    stop = start + 1
    while start > 0 and middles[start] - middles[start - 1] <= step:
        start -= 1
    while stop < len(middles) and middles[stop] - middles[stop - 1] <= step:
        stop += 1
    return middles[start:stop]


def _ends(pixels: Pixels, quad: npt.NDArray[np.float64], written: _Span, pieces: Sequence[_Piece]) -> _Span:
    """Where the box begins and ends: as it does, or close to its ink where it reaches into the space between columns.

    Between columns the network draws some boxes into the white space, and so the columns seem to touch.
    """
    (width,), (height,) = width_of(quad[None]).tolist(), height_of(quad[None]).tolist()
    first, last = (0.0, written[0]), (written[1], width)
    margin = _MARGIN * height
    begins_far, ends_far = (
        white[1] - white[0] >= _MIN_GAP * height
        and _divides(_place(quad, white), pieces)
        and _is_empty(pixels, quad, white)
        for white in (first, last)
    )
    return first[1] - margin if begins_far else 0.0, last[0] + margin if ends_far else width


def _parts(quad: npt.NDArray[np.float64], spans: Sequence[_Span]) -> Iterator[npt.NDArray[np.float64]]:
    """The parts of the box at these spans, each with a little of the white space beside it."""
    (height,) = height_of(quad[None]).tolist()
    spaces = [0.0, *(min(_MARGIN * height, (b[0] - a[1]) / 2) for a, b in pairwise(spans)), 0.0]
    for (start, end), (before, after) in zip(spans, pairwise(spaces), strict=True):
        yield _part(quad, (start - before, end + after))


def _part(quad: npt.NDArray[np.float64], span: _Span) -> npt.NDArray[np.float64]:
    (width,) = width_of(quad[None]).tolist()
    return part_of(quad, span[0] / max(width, 1.0), span[1] / max(width, 1.0))
