"""Second readings of a page: boxes that the first got wrong are read in another way, and so is ink without a box."""

import re
from collections.abc import Sequence

import numpy as np

from services.worker.engines.lines import detector, glyphs, legibility
from services.worker.engines.lines.detector import Quads
from services.worker.engines.lines.glyphs import Glyphs
from services.worker.engines.lines.inverted import Panels
from services.worker.engines.lines.recogniser import RecognisedText, Recogniser, mean_confidence
from services.worker.engines.picture import Pixels

# Confidence below which a line is read in another way too: by further models, where the operator has some, or inverted.
# Chosen: lines in a script that the model knows have more, but for small or poor print.
_SURE = 0.9

# Height over width from which a box is a label that runs up or down, and the characters that count at most when its
# readings in both directions are compared: a reading of one or two characters is confident by chance.
_VERTICAL_ASPECT = 2.0
_VERTICAL_CHARACTERS = 3

# Width of a tall box, in glyph heights, from which it is always read by its cells: it holds several columns.
_WIDE_TALL_BOX = 4

# Confidence from which uncovered glyphs count as a number, or as a word of so many letters at least. Pictures hold
# glyphs too, and lone letters are as often a part of a drawing.
_MIN_NUMBER_CONFIDENCE = 0.9
_MIN_WORD_CONFIDENCE = 0.95
_MIN_WORD_LETTERS = 3
_NUMBER = re.compile(r"[$€£(+-]?\d[\d.,:/-]*[)%]?")

#: The text of a box that others replace.
NOTHING = RecognisedText(text="", confidence=0.0)


def inverted(recogniser: Recogniser, panels: Panels, quads: Quads, texts: list[RecognisedText]) -> None:
    """Replace the texts of light letters on dark panels that read better as dark ones on light panels."""
    unsure = [i for i in panels.holding(quads).tolist() if texts[i].confidence < _SURE]
    if not unsure:
        return
    for i, text in zip(unsure, recogniser.recognise(panels.pixels, quads[unsure]), strict=True):
        if text.confidence > texts[i].confidence:
            texts[i] = text


def vertical(recogniser: Recogniser, pixels: Pixels, quads: Quads, texts: list[RecognisedText]) -> None:
    """Replace the texts of labels that run up or down an upright page, where their own direction reads better."""
    upright = np.flatnonzero(detector.height_of(quads) > _VERTICAL_ASPECT * detector.width_of(quads))
    if not upright.size:
        return
    for turn in (1, 3):
        for i, turned in zip(upright, recogniser.recognise(pixels, quads[upright], turn), strict=True):
            if _evidence(turned) > _evidence(texts[i]):
                texts[i] = turned


def foreign(others: Sequence[Recogniser], pixels: Pixels, quads: Quads, texts: list[RecognisedText]) -> None:
    """Replace the texts of lines that another model reads better: of those of which the first is not sure."""
    for other in others:
        unsure = np.array([text.confidence < _SURE for text in texts], dtype=bool)
        unsure |= ~legibility.judge(quads, texts).readable
        at = np.flatnonzero(unsure)
        if not at.size:
            return
        read = other.recognise(pixels, quads[at])
        before = legibility.judge(quads[at], [texts[i] for i in at]).readable
        after = legibility.judge(quads[at], read).readable
        for i, text, was, now in zip(at, read, before, after, strict=True):
            if now and (not was or text.confidence > texts[i].confidence):
                texts[i] = text


def by_cells(
    recogniser: Recogniser, pixels: Pixels, found: Glyphs, quads: Quads, texts: list[RecognisedText]
) -> tuple[Quads, list[RecognisedText]]:
    """Replace boxes that hold several rows by their cells, where these read with more confidence."""
    first = quads
    for i in glyphs.tall(found, first):
        cells = glyphs.cells_of(found, first[i], np.delete(first, i, axis=0))
        if not len(cells):
            continue
        parts = recogniser.recognise(pixels, cells)
        if _is_one_line(texts[i], parts):
            continue
        wide = detector.width_of(quads[i : i + 1])[0] > _WIDE_TALL_BOX * found.height
        if mean_confidence(parts) > texts[i].confidence or wide:
            texts[i] = NOTHING
            quads = np.concatenate([quads, cells])
            texts = [*texts, *parts]
    return quads, texts


def with_uncovered(
    recogniser: Recogniser, pixels: Pixels, found: Glyphs, quads: Quads, texts: list[RecognisedText]
) -> tuple[Quads, list[RecognisedText]]:
    """Add the glyphs that no box covers, where they are certainly text."""
    extra = glyphs.uncovered(found, quads)
    if not len(extra):
        return quads, texts
    parts = recogniser.recognise(pixels, extra)
    certain = np.array([_is_certain(part) for part in parts])
    # A speck is recognised as a 1 with confidence; a 1 of a table has other cells above or below it.
    strokes = np.array([set(part.text.strip()) <= {"1"} for part in parts])
    certain &= ~strokes | glyphs.in_columns(found, extra, certain & ~strokes, quads)
    parts = [part if keep else NOTHING for part, keep in zip(parts, certain, strict=True)]
    return np.concatenate([quads, extra]), [*texts, *parts]


def _is_one_line(whole: RecognisedText, parts: Sequence[RecognisedText]) -> bool:
    """Whether a box that may hold several rows is one line: it reads with confidence, and its rows give no more."""
    characters = sum(len(part.text) for part in parts)
    return whole.confidence >= _SURE and len(whole.text) >= max(characters, _MIN_WORD_LETTERS)


def _evidence(text: RecognisedText) -> float:
    """How well a label reads: its confidence, by its characters as far as they count."""
    return text.confidence * min(len(text.text), _VERTICAL_CHARACTERS)


def _is_certain(recognised: RecognisedText) -> bool:
    """True for a number or a word that is recognised with confidence."""
    text = recognised.text.strip()
    if _NUMBER.fullmatch(text):
        return recognised.confidence >= _MIN_NUMBER_CONFIDENCE
    return len(text) >= _MIN_WORD_LETTERS and text.isalpha() and recognised.confidence >= _MIN_WORD_CONFIDENCE
