"""Lines of a text layer as the layout takes them: on an upright page, with their words, pieces of a baseline joined."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import msgspec
import numpy as np

from libs.page.block import Corners, Line, Rect, Word
from libs.textlayer import LayerLine, PageLayer
from services.worker.engines.layer.leftward import in_reading_order
from services.worker.engines.layer.letters import clean, runs_left
from services.worker.engines.lines.page_reader import PageLines
from services.worker.engines.lines.pose import Pose
from services.worker.engines.lines.spacing import closed

# Degrees by which a line may be off an axis of the page and count as level. Chosen: a scan that another OCR has read is
# tilted by as much; a watermark by far more.
_LEVEL = 5
# Degrees, clockwise, of lines that run up to the right. Chosen: steeper and flatter ones are level.
_RISING = (290, 345)
# Pieces of one line: the greatest gap between them, in heights of the lower one, and their least overlap across the
# line, as a share of its height. MuPDF cuts a line at gaps of 0.8 em; justified text has wider ones, columns of a table
# and of a page wider still. Chosen.
_GAP = 1.0
_OVERLAP = 0.5
# The same between two numbers, which stand in neighbouring columns of a table far more often than in a line of text,
# and between two groups of digits of one number. Chosen: spaces are narrower than the former.
_NUMBER_GAP, _GROUP_GAP = 0.25, 0.5
_GROUP = re.compile(r"\d{3}\b")
# Heights of a piece, in those of another, from which they are no pieces of one line: a large initial stands beside
# several lines. Chosen: above the sum sign of a formula, below an initial of two lines.
_MAX_HEIGHTS = 2.0
# Share of its characters that a bold piece has in bold: the number of a note may be in another font.
_BOLD_SHARE = 0.9
# A gap from which pieces are separate words: a superscript follows its word closely.
_WORD_GAP = 0.15


class _Piece(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the layer on the upright page."""

    text: str
    box: Rect
    words: tuple[Word, ...]
    #: Quarters clockwise from level: 0 reads to the right.
    quarter: int
    #: All of it is set in bold, but for a few characters.
    bold: bool = False

    @property
    def height(self) -> float:
        """Across the line, in pixels; of a level piece."""
        return self.box[3] - self.box[1]


def pose_of(layer: PageLayer) -> Pose:
    """The turn that levels most of the layer's text."""
    votes: Counter[int] = Counter()
    for line in layer.lines:
        if (quarter := _quarter(line)) is not None:
            votes[quarter] += len(line.text)
    quarter = votes.most_common(1)[0][0] if votes else 0
    return Pose(width=layer.width, height=layer.height, rotation=-90 * quarter % 360)


def slanted(layer: PageLayer) -> int:
    """Characters of lines that are level with neither axis of the page, such as a watermark's."""
    return sum(len(line.text) for line in layer.lines if _quarter(line) is None)


def page_lines(layer: PageLayer) -> PageLines:
    """The layer's lines on the upright page; slanted ones have no place in an order and are kept apart."""
    pose = pose_of(layer)
    turned = pose.rotation // 90
    pieces = [
        part
        for line in (layer.lines if turned else _in_reading_order(layer.lines))
        if (quarter := _quarter(line)) is not None and clean(line.text).strip()
        for part in _figures(_piece(layer, line, pose, (quarter + turned) % 4))
    ]
    level = [piece for piece in pieces if piece.quarter == 0]
    ordered = [*map(_joined, _chains(level)), *(piece for piece in pieces if piece.quarter != 0)]
    return PageLines(
        pose=pose,
        lines=tuple(map(_line, ordered)),
        slanted=tuple(
            _line(_piece(layer, line, pose, 0))
            for line in layer.lines
            if _rises(line, pose) and clean(line.text).strip()
        ),
        bold=frozenset(at for at, piece in enumerate(ordered) if piece.bold),
        rules=tuple(_upright(rule, pose) for rule in layer.rules),
        pictures=tuple(_upright(picture, pose) for picture in layer.pictures),
    )


def _in_reading_order(lines: Iterable[LayerLine]) -> Iterator[LayerLine]:
    for line in lines:
        if line.turn == 0 and not line.vertical and runs_left(line.text):
            yield from in_reading_order(line)
        else:
            yield line


def _quarter(line: LayerLine) -> int | None:
    """The direction of the line's text in quarters clockwise, 0 to the right; None where it is slanted."""
    quarter = round(line.turn / 90)
    return quarter % 4 if abs(line.turn - 90 * quarter) <= _LEVEL else None


def _rises(line: LayerLine, pose: Pose) -> bool:
    """Whether the line runs up to the right on the upright page, as slanted names of columns do."""
    turn = (line.turn + pose.rotation) % 360
    return _RISING[0] <= turn <= _RISING[1]


def _piece(layer: PageLayer, line: LayerLine, pose: Pose, quarter: int) -> _Piece:
    words: list[tuple[str, Rect]] = []
    sizes: Counter[float] = Counter()
    heights: dict[float, tuple[float, float]] = {}
    bold = 0
    for span in line.spans:
        box = _upright(span.box, pose)
        size = layer.styles[span.style].size
        sizes[size] += len(span.text)
        bold += layer.styles[span.style].bold * len(span.text)
        heights.setdefault(size, (box[1], box[3]))
        text = clean(span.text)
        if words and not span.text.startswith(" "):
            before, around = words[-1]
            words[-1] = before + text, _around([around, box])
        else:
            words.append((text, box))
    found = tuple(Word(text=text.strip(), box=box) for text, box in words if text.strip())
    left, top, right, bottom = _around([word.box for word in found])
    if quarter == 0:
        # As high as most of its text: a superscript makes no line higher.
        top, bottom = heights[sizes.most_common(1)[0][0]]
    return _Piece(
        text=" ".join(word.text for word in found),
        box=(left, top, right, bottom),
        words=found,
        quarter=quarter,
        bold=bold >= _BOLD_SHARE * sizes.total(),
    )


def _figures(piece: _Piece) -> list[_Piece]:
    """A line of nothing but numbers as one piece for each; any other line as it is."""
    if piece.quarter != 0 or not all(_is_number(word.text) or "*" in word.text for word in piece.words):
        return [piece]
    parts: list[list[Word]] = []
    for word in piece.words:
        if parts and not _is_apart(parts[-1][-1], word, piece.height):
            parts[-1].append(word)
        else:
            parts.append([word])
    return [_part(piece, words) for words in parts]


def _is_apart(before: Word, word: Word, height: float) -> bool:
    """Whether two numbers stand in two columns, and are no groups of digits of one number."""
    gap = max(word.box[0] - before.box[2], before.box[0] - word.box[2])
    return gap > (_GROUP_GAP if _GROUP.match(word.text) and before.text[-1].isdigit() else _NUMBER_GAP) * height


def _part(piece: _Piece, words: Sequence[Word]) -> _Piece:
    left, _, right, _ = _around([word.box for word in words])
    text = " ".join(word.text for word in words)
    return msgspec.structs.replace(piece, text=text, words=tuple(words), box=(left, piece.box[1], right, piece.box[3]))


def _upright(box: Rect, pose: Pose) -> Rect:
    left, top, right, bottom = box
    corners = pose.from_stored(np.array([(left, top), (right, bottom)]))
    (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)


def _around(boxes: Sequence[Rect]) -> Rect:
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def _chains(pieces: Sequence[_Piece]) -> list[list[_Piece]]:
    """The pieces by printed line, each from left to right; every piece is in exactly one chain."""
    rows: list[list[_Piece]] = []
    ordered = sorted(pieces, key=lambda piece: (piece.box[1] + piece.box[3], piece.box[0]))
    for piece in ordered:
        near = [row for row in rows[-_OPEN_ROWS:] if any(_touch(piece, other) for other in row)]
        if not near:
            rows.append([piece])
            continue
        near[0].append(piece)
        for row in near[1:]:  # the piece closes the gap between two
            near[0].extend(row)
            rows.remove(row)
    return [sorted(row, key=lambda piece: piece.box[0]) for row in rows]


# Rows, the lowest so far, that a piece may still join. The pieces come from top to bottom, so older rows have ended.
# Chosen: pages of many columns have many rows at one height.
_OPEN_ROWS = 24


def _touch(a: _Piece, b: _Piece) -> bool:
    left, right = (a, b) if a.box[0] <= b.box[0] else (b, a)
    height = min(a.height, b.height)
    if max(a.height, b.height) > _MAX_HEIGHTS * height:
        return False
    overlap = min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
    before, after = left.words[-1].text, right.words[0].text
    gap = _GAP
    if _is_number(before) and _is_number(after):
        gap = _GROUP_GAP if _GROUP.match(after) and before[-1].isdigit() else _NUMBER_GAP
    return overlap >= _OVERLAP * height and -_OVERLAP * height <= right.box[0] - left.box[2] <= gap * height


def _is_number(word: str) -> bool:
    return any(map(str.isdigit, word)) and not any(map(str.isalpha, word))


def _joined(chain: Sequence[_Piece]) -> _Piece:
    """One piece of several; of a script that runs to the left, the rightmost comes first."""
    if len(chain) == 1:
        return chain[0]
    ordered = list(reversed(chain)) if runs_left("".join(piece.text for piece in chain)) else list(chain)
    text, words = ordered[0].text, list(ordered[0].words)
    for before, piece in pairwise(ordered):
        gap = max(piece.box[0] - before.box[2], before.box[0] - piece.box[2])
        if gap < _WORD_GAP * min(before.height, piece.height):
            last, first = words[-1], piece.words[0]
            words[-1] = Word(text=last.text + first.text, box=_around([last.box, first.box]))
            words.extend(piece.words[1:])
        else:
            words.extend(piece.words)
    text = " ".join(word.text for word in words)
    # The height of the piece with most text: a superscript or a bracket makes no line higher.
    top, bottom = max(chain, key=lambda piece: len(piece.text)).box[1::2]
    left, right = min(piece.box[0] for piece in chain), max(piece.box[2] for piece in chain)
    return _Piece(
        text=text,
        box=(left, top, right, bottom),
        words=tuple(words),
        quarter=0,
        bold=all(piece.bold for piece in chain),
    )


def _line(piece: _Piece) -> Line:
    left, top, right, bottom = piece.box
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    a, b, c, d = corners[piece.quarter :] + corners[: piece.quarter]
    box: Corners = (a, b, c, d)
    text = closed(piece.text)
    words = piece.words if text == piece.text else (Word(text=text, box=piece.box),)
    return Line(text=text, box=box, words=words)
