"""Lines that were found twice: the detection network may box a part of a line, or the whole of it, a second time."""

from collections.abc import Sequence

import numpy as np

from libs.page.block import Line

# Share of a box that lies in another from which both show the same ink. Chosen: lines that are set close overlap less.
_MIN_COVERED = 0.5


def distinct(lines: Sequence[Line]) -> tuple[Line, ...]:
    """The lines in their order, without those that stand in the place of another and say nothing that it does not."""
    if not lines:
        return ()
    corners = np.array([line.box for line in lines])
    low, high = corners.min(axis=1), corners.max(axis=1)
    areas = np.maximum((high - low).prod(axis=1), 1.0)
    kept = np.ones(len(lines), dtype=bool)
    # The smaller ones first: of two that say the same the larger box stays.
    for i in np.argsort(areas, kind="stable").tolist():
        shared = np.maximum(np.minimum(high, high[i]) - np.maximum(low, low[i]), 0.0).prod(axis=1)
        over = kept & (shared >= _MIN_COVERED * areas[i])
        over[i] = False
        own = _letters(lines[i].text)
        kept[i] = not any(own in _letters(lines[j].text) for j in np.flatnonzero(over).tolist())
    return tuple(line for line, keep in zip(lines, kept.tolist(), strict=True) if keep)


def _letters(text: str) -> str:
    return "".join(text.split()).casefold()
