"""Whether a page's text layer is what is printed on it: figures in, verdict out."""

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from libs.jobstate.provenance import LayerReport, LayerVerdict
from services.worker.engines.guard.agreement import number_agreement
from services.worker.engines.layer.letters import Letters
from services.worker.engines.layer.spotcheck import Check

# All values below are chosen: `test_judgement` and `bench.textlayer` hold the pages that they have to tell apart. Each
# is a share of the layer's characters unless noted.

# Characters that stand for none. A page may have a few bullets and signs of unnamed fonts.
MAX_MEANINGLESS = 0.02
# Characters that leave no mark, and those whose place is empty on the image: a layer with more was not printed, but
# laid over the page by another OCR, or hidden.
MAX_INVISIBLE = 0.1
MAX_UNSEEN = 0.1
# Characters of lines that are level with neither axis: they have no place in an order.
MAX_SLANTED = 0.05
# Marks as large as characters that read as words although the layer has none there, as a share of all such marks; and
# the share of marks that are not covered at all where the recogniser cannot read the script to tell.
MAX_MISSING = 0.1
MAX_LOOSE = 0.3
# Agreement of the spot check over all crops, and over those of one font. Clean print gives 0.95 and more, small print
# of 6 points at 150 DPI 0.85; letters that stand for others 0.3 at most.
MIN_AGREEMENT = 0.9
MIN_FONT_AGREEMENT = 0.5
# A script that the recogniser cannot read is not compared: the share of letters that it must know.
MIN_READABLE = 0.5


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a layer."""

    letters: Letters
    #: Characters without fill and stroke.
    invisible: int
    #: Characters whose place on the image is empty.
    unseen: int
    #: Characters of slanted lines.
    slanted: int
    #: The area of pictures, as a share of the page's.
    picture: float
    #: Marks as large as characters inside and outside of the boxes of text.
    covered: int
    loose: int
    #: The share of the loose marks that read as words or numbers.
    printed: float = 0.0
    #: The share of the layer's letters that the recogniser can read.
    readable: float = 0.0
    #: The script of most of its letters.
    script: str | None = None
    checks: tuple[Check, ...] = ()


def judge(figures: Figures) -> LayerReport:
    """The verdict, by the first rule that refuses the layer, with the figures that it rests on."""
    characters = figures.letters.characters
    asked = prejudge(figures) is None
    return LayerReport(
        verdict=_verdict(figures),
        characters=characters,
        meaningless=_share(figures.letters.unmapped + figures.letters.broken, characters),
        unmapped=_share(figures.letters.unmapped, characters),
        invisible=_share(figures.invisible, characters),
        unseen=_share(figures.unseen, characters),
        picture=round(min(figures.picture, 1.0), 3),
        missing=round(_missing(figures), 3),
        compared=len(figures.checks),
        agreement=agreement(figures.checks),
        numbers=_numbers(figures.checks),
        readable=round(figures.readable, 3) if asked else None,
        script=figures.script,
    )


def prejudge(figures: Figures) -> LayerVerdict | None:
    """The verdict where the layer is refused by what costs no recognition; None where the spot check decides."""
    characters = figures.letters.characters
    rules = (
        (characters == 0, LayerVerdict.EMPTY),
        (figures.invisible > MAX_INVISIBLE * characters, LayerVerdict.INVISIBLE),
        (
            figures.letters.unmapped + figures.letters.broken > MAX_MEANINGLESS * characters,
            LayerVerdict.GARBLED,
        ),
        (figures.letters.implausible, LayerVerdict.GARBLED),
        (figures.letters.visual_order, LayerVerdict.VISUAL_ORDER),
        (figures.unseen > MAX_UNSEEN * characters, LayerVerdict.UNSEEN),
        (figures.slanted > MAX_SLANTED * characters, LayerVerdict.SLANTED),
    )
    return next((verdict for refused, verdict in rules if refused), None)


def agreement(checks: Sequence[Check]) -> float | None:
    """The agreement of the crops, weighted by their length; None where there are none."""
    length = sum(len(check.crop.text) for check in checks)
    if not length:
        return None
    return round(sum(check.similarity * len(check.crop.text) for check in checks) / length, 3)


def _numbers(checks: Sequence[Check]) -> float | None:
    texts = (" ".join(check.crop.text for check in checks), " ".join(check.read for check in checks))
    found = number_agreement(*texts)
    return None if found is None else round(found, 3)


def _verdict(figures: Figures) -> LayerVerdict:
    early = prejudge(figures)
    if early is not None:
        return early
    if _missing(figures) > (MAX_MISSING if figures.readable >= MIN_READABLE else MAX_LOOSE):
        return LayerVerdict.INCOMPLETE
    agreed = agreement(figures.checks)
    if agreed is None:
        # Nothing was compared. A script that cannot be read is no fault of the layer.
        return LayerVerdict.UNCHECKED if figures.readable >= MIN_READABLE else LayerVerdict.TRUSTED
    if agreed < MIN_AGREEMENT or _worst_font(figures.checks) < MIN_FONT_AGREEMENT:
        return LayerVerdict.DIFFERENT
    return LayerVerdict.TRUSTED


def _missing(figures: Figures) -> float:
    """The share of the page's print that the layer lacks, estimated from marks as large as characters."""
    missing = figures.loose * (figures.printed if figures.readable >= MIN_READABLE else 1.0)
    return missing / (figures.covered + missing) if missing else 0.0


def _worst_font(checks: Sequence[Check]) -> float:
    fonts: dict[int, list[Check]] = defaultdict(list)
    for check in checks:
        fonts[check.crop.font].append(check)
    # One crop may fall on a misprint, a formula or a stain.
    return min((agreement(found) or 0.0 for found in fonts.values() if len(found) > 1), default=1.0)


def _share(part: int, characters: int) -> float:
    return round(part / characters, 3) if characters else 0.0
