"""The trust in a text by what it is compared with: every engine's comes from here."""

import msgspec

from libs import textlayer
from libs.jobstate.provenance import LayerReport, LayerVerdict
from libs.page.script import main_script
from libs.page.trust import Against, Trust, Uncompared
from services.worker.engines.guard.agreement import (
    MIN_WORDS,
    agreement,
    is_evidence,
    knows_letters,
    letter_agreement,
    number_agreement,
    number_agreement_with_ocr,
    share_a_script,
    words,
)
from services.worker.engines.guard.passages import lowest_support

# Share of a page's area covered by pictures, past which its text layer is no evidence. Chosen: such a page is a scan,
# or shows words that the layer lacks.
_PICTURE_SHARE = 0.4
# The share of a layer's letters that the recogniser has to know, so that what it compares speaks for the whole page.
# Chosen: higher than what the layer needs to be checked at all.
_MIN_READABLE = 0.8


def by_layer(text: str, image: bytes, *, reads: tuple[str, ...] = (), invents: bool = False) -> Trust:
    """The agreement with the text layer stored in the page image; no figure where none is worth comparing with.

    `reads` are the scripts that the engine of the text knows; empty where it does not say. `invents`: the engine may
    write passages that are not on the page.
    """
    layer = textlayer.read(image)
    if layer is None or layer.picture_share > _PICTURE_SHARE:
        return Trust(uncompared=Uncompared.NO_SECOND_READING)
    visible = textlayer.visible_text(layer)
    if sum(words(visible).values()) < MIN_WORDS:
        return Trust(uncompared=Uncompared.FEW_WORDS)
    if not is_evidence(visible):
        return Trust(uncompared=Uncompared.LAYER_REFUSED)
    if reads and main_script(visible) not in reads:
        return Trust(uncompared=Uncompared.OTHER_SCRIPT)
    return Trust(
        figure=round(agreement(text, visible), 3),
        numbers=_rounded(number_agreement(text, visible)),
        passage=_rounded(lowest_support(text, visible)) if invents else None,
        against=Against.TEXT_LAYER,
    )


def by_engine(text: str, other: str) -> Trust:
    """The agreement of a model's text with what a recogniser read in the image.

    No figure where that read too little, or cannot read the script. Letters that it mistakes change whole words, so the
    agreement of runs of letters counts where it is higher.
    """
    if sum(words(other).values()) < MIN_WORDS:
        return Trust(uncompared=Uncompared.FEW_WORDS)
    if not share_a_script(text, other) or not knows_letters(text, other):
        return Trust(uncompared=Uncompared.OTHER_SCRIPT)
    return Trust(
        figure=round(max(agreement(text, other), letter_agreement(text, other)), 3),
        numbers=_rounded(number_agreement_with_ocr(text, other)),
        passage=_rounded(lowest_support(text, other)),
        against=Against.OCR,
    )


def by_spot_check(report: LayerReport) -> Trust:
    """Of a text layer that is taken: the agreement of the few places that were recognised."""
    untrusted = report.verdict is not LayerVerdict.TRUSTED
    foreign = report.readable is not None and report.readable < _MIN_READABLE
    if foreign:
        # The few words that the recogniser knows say nothing of the others; the numbers are compared all the same.
        against = None if report.numbers is None else Against.SPOT_CHECK
        return Trust(
            numbers=report.numbers,
            against=against,
            uncompared=Uncompared.OTHER_SCRIPT,
            untrusted_layer=untrusted,
        )
    if report.agreement is not None:
        return Trust(
            figure=report.agreement,
            numbers=report.numbers,
            against=Against.SPOT_CHECK,
            untrusted_layer=untrusted,
        )
    return Trust(uncompared=Uncompared.NO_SECOND_READING, untrusted_layer=untrusted)


def with_report(trust: Trust | None, report: LayerReport) -> Trust | None:
    """The trust in a page whose layer was refused: a figure that compares it with that layer says nothing."""
    if trust is None:
        return None
    if trust.script is None and trust.reads and report.script not in (None, *trust.reads):
        trust = msgspec.structs.replace(trust, script=report.script)
    if trust.against is not Against.TEXT_LAYER:
        return trust
    return msgspec.structs.replace(trust, figure=None, numbers=None, against=None, uncompared=Uncompared.LAYER_REFUSED)


def _rounded(figure: float | None) -> float | None:
    return None if figure is None else round(figure, 3)
