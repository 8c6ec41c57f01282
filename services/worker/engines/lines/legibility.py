"""Which lines of a page a recogniser could read: by its confidence, and by the characters it found for the ink.

A recogniser that does not know a script returns a few characters for a line full of ink, or many that it is not sure
of. Neither may pass for the text of the page.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

# A line is readable from this confidence on, and where it has so many characters for each length of its own height. Of
# RapidOCR on Cyrillic, lines have 0.2 characters for it at most, with a confidence of 0.8 to 0.98; Latin prose has 2,
# Chinese 1.
MIN_CONFIDENCE = 0.6
MIN_DENSITY = 0.5
# A page is flagged where so large a share of its lines is unreadable, by length. Of 14 pages in Latin, old Greek and
# handwriting the share was 0.05 at most, of seven in other scripts 0.28 at least (a table of figures with labels in
# Hebrew). And where they are so long together, in line heights: chosen, for a logo or a signature alone on a page.
MIN_SHARE = 0.25
MIN_LENGTH = 20.0
# On a flagged page that may be in another script a line needs more confidence to stay: of Thai and Hebrew, letters that
# look alike are read with up to 0.75, while the figures and formulas among them have 0.9 and more.
MIN_CONFIDENCE_FOREIGN = 0.8
# Share of the lines, by length, that are words read with as much confidence, from which the recogniser knows the page's
# script, and the page is only badly printed in places. Chosen: most of them.
_MIN_KNOWN_SHARE = 0.5


class Recognised(Protocol):
    """What a recogniser says of a line."""

    @property
    def text(self) -> str: ...

    @property
    def confidence(self) -> float | None: ...


class Legibility(msgspec.Struct, frozen=True, kw_only=True):
    """What could be read of a page."""

    #: For each line whether it could.
    readable: npt.NDArray[np.bool_]
    #: The share of the lines, by length, that could not.
    unreadable: float
    #: Whether that is so much that the page says so, and leaves these lines out.
    flagged: bool
    #: Of a flagged page, where it is known.
    script: str | None = None


def judge(
    corners: npt.NDArray[np.float64],
    texts: Sequence[Recognised],
    *,
    counted: npt.NDArray[np.bool_] | None = None,
    least: float = MIN_CONFIDENCE,
    density: float = MIN_DENSITY,
) -> Legibility:
    """Judge the lines, whose boxes have these corners (n, 4, 2), clockwise.

    Those that are not `counted` are readable whatever they hold. `least` is the recogniser's confidence in a line that
    it could read; `density` the fewest characters of such a line for each length of its own height.
    """
    if counted is None:
        counted = np.ones(len(texts), dtype=bool)
    lengths = _lengths(corners)
    total = max(float(lengths[counted].sum()), 1.0)
    readable = ~counted | _readable(texts, lengths, least, density)
    unread = float(lengths[~readable].sum())
    flagged = unread >= MIN_SHARE * total and unread >= MIN_LENGTH
    return Legibility(readable=readable, unreadable=round(unread / total, 3), flagged=flagged)


def judge_page(
    corners: npt.NDArray[np.float64],
    texts: Sequence[Recognised],
    *,
    reads: Collection[str],
    script: Callable[[], str | None],
    counted: npt.NDArray[np.bool_] | None = None,
    least: float = MIN_CONFIDENCE,
    density: float = MIN_DENSITY,
) -> Legibility:
    """Judge all lines of a page, as `judge` does, and those of a flagged page more strictly if it may be foreign.

    `reads` are the scripts that the recogniser knows. `script` detects that of the page, or returns None; it is called
    for a flagged page only.
    """
    found = judge(corners, texts, counted=counted, least=least, density=density)
    if not found.flagged:
        return found
    seen = script()
    known = seen in reads if seen is not None else _is_known(corners, texts, counted, density)
    if not known:
        strict = max(least, MIN_CONFIDENCE_FOREIGN)
        found = judge(corners, texts, counted=counted, least=strict, density=density)
    return msgspec.structs.replace(found, script=seen)


def _is_known(
    corners: npt.NDArray[np.float64],
    texts: Sequence[Recognised],
    counted: npt.NDArray[np.bool_] | None,
    density: float,
) -> bool:
    """Whether most lines are words that were read with confidence: figures are the same in every script."""
    lengths = _lengths(corners)
    if counted is None:
        counted = np.ones(len(texts), dtype=bool)
    words = np.array(
        [2 * sum(map(str.isalpha, text.text)) > len("".join(text.text.split())) for text in texts], dtype=bool
    )
    sure = _readable(texts, lengths, MIN_CONFIDENCE_FOREIGN, density) & words & counted
    return float(lengths[sure].sum()) >= _MIN_KNOWN_SHARE * float(lengths[counted].sum())


def _readable(
    texts: Sequence[Recognised], lengths: npt.NDArray[np.float64], least: float, density: float
) -> npt.NDArray[np.bool_]:
    pairs = zip(texts, lengths.tolist(), strict=True)
    return np.array([is_readable(text, length, least, density) for text, length in pairs], dtype=bool)


def is_readable(text: Recognised, length: float, least: float = MIN_CONFIDENCE, density: float = MIN_DENSITY) -> bool:
    """Whether a line of this length, in its heights, was read."""
    characters = len("".join(text.text.split()))
    return (text.confidence or 0.0) >= least and characters >= density * length


def _lengths(corners: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The longer side of each box over the shorter one."""
    along = np.linalg.norm(corners[:, 1] - corners[:, 0], axis=1)
    across = np.linalg.norm(corners[:, 3] - corners[:, 0], axis=1)
    lengths: npt.NDArray[np.float64] = np.maximum(along, across) / np.maximum(np.minimum(along, across), 1.0)
    return lengths
