"""What is doubted on a page, and the sentences that say so."""

import pytest

from libs.page.trust import LOW_CONFIDENCE, LOW_NUMBERS, LOW_TRUST, Against, Doubt, Trust, Uncompared


@pytest.mark.parametrize(
    ("trust", "doubts"),
    [
        (Trust(figure=LOW_TRUST, numbers=LOW_NUMBERS), ()),
        (Trust(figure=LOW_TRUST - 0.01, numbers=1.0), (Doubt.WORDS_DIFFER,)),
        # A page of words that agree, with a fifth of its numbers wrong.
        (Trust(figure=0.98, numbers=0.8), (Doubt.NUMBERS_DIFFER,)),
        (Trust(confidence=LOW_CONFIDENCE - 0.01), (Doubt.LOW_CONFIDENCE,)),
        # Where two readings agree, it does not matter how sure one of them is.
        (Trust(figure=0.99, confidence=0.5), ()),
        (Trust(unreadable=0.3, confidence=0.99), (Doubt.UNREADABLE,)),
        (Trust(figure=1.0, untrusted_layer=True), (Doubt.UNTRUSTED_LAYER,)),
        # A page of which nearly all agrees, with one sentence invented.
        (Trust(figure=0.97, passage=0.05), (Doubt.PASSAGE_DIFFERS,)),
        (Trust(figure=1.0, malformed=True), (Doubt.MALFORMED_ANSWER,)),
        (Trust(figure=1.0, turned=90), (Doubt.NOT_UPRIGHT,)),
        (Trust(uncompared=Uncompared.NO_SECOND_READING), ()),
    ],
    ids=str,
)
def test_a_page_is_doubted_for_what_is_known_against_it(trust: Trust, doubts: tuple[Doubt, ...]) -> None:
    assert trust.doubts == doubts


def test_the_lowest_figure_is_of_words_or_of_numbers() -> None:
    assert (Trust(figure=0.9, numbers=0.5).lowest, Trust(figure=0.9).lowest, Trust().lowest) == (0.5, 0.9, None)


def test_every_doubt_and_every_reason_for_no_figure_has_a_sentence() -> None:
    known = Trust(
        figure=0.1,
        numbers=0.2,
        passage=0.1,
        against=Against.OCR,
        unreadable=0.8,
        nothing_read=True,
        untrusted_layer=True,
        malformed=True,
        turned=90,
    )
    shown = {reason.code: reason.text for reason in known.reasons}
    for uncompared in Uncompared:
        shown |= {reason.code: reason.text for reason in Trust(uncompared=uncompared, confidence=0.1).reasons}
    assert set(shown) == {*Doubt, *Uncompared}
    assert all(text.endswith(".") for text in shown.values())
    assert shown["words_differ"] == (
        "Trust 10%: the text differs from another engine's reading of this page. Compare it with the image."
    )


def test_the_script_is_named_only_where_the_engine_does_not_read_it() -> None:
    (reason,) = Trust(unreadable=0.5, script="Latin", reads=("Latin",)).reasons
    assert reason.text == (
        "About 50% of the lines on this page could not be read and are left out: the engine reads Latin."
    )
