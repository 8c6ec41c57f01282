"""A text compared with the page's own, or with another engine's: a figure, or why there is none."""

import pytest

from libs.jobstate.provenance import LayerReport, LayerVerdict
from libs.page.trust import Against, Trust, Uncompared
from services.worker.engines.guard.agreement import number_agreement
from services.worker.engines.guard.comparison import by_engine, by_layer, by_spot_check, with_report
from tests.transcripts import CHINESE, PAGE, page_image

RUSSIAN = "В тихом лесу под вечер стало совсем темно, и путник зажёг фонарь, чтобы найти дорогу к дому. " * 3
INVOICE = "Sum 12.50 and 3.99 and 1,250 of 2031, page 7, total 88.10; " + PAGE


def none_for(reason: Uncompared) -> Trust:
    return Trust(uncompared=reason)


def test_the_pages_own_text_is_the_second_reading() -> None:
    image = page_image(1, layer=INVOICE).data
    assert by_layer(INVOICE, image) == Trust(figure=1.0, numbers=1.0, against=Against.TEXT_LAYER)
    wrong = by_layer(INVOICE.replace("12.50", "1250").replace("88.10", "86.10"), image)
    assert wrong.figure is not None
    assert wrong.figure > 0.95
    assert wrong.numbers == pytest.approx(7 / 9, abs=0.01)


def test_where_nothing_can_be_compared_there_is_no_figure_but_a_reason() -> None:
    assert by_layer(PAGE, page_image(1).data) == none_for(Uncompared.NO_SECOND_READING)
    assert by_layer(PAGE, page_image(1, layer="Page 3").data) == none_for(Uncompared.FEW_WORDS)
    assert by_layer(PAGE, page_image(1, layer=PAGE.replace("a", "\ufffd")).data) == none_for(Uncompared.LAYER_REFUSED)
    latin = by_layer("12 34", page_image(1, layer=RUSSIAN).data, reads=("Greek", "Latin"))
    assert latin == none_for(Uncompared.OTHER_SCRIPT)
    assert by_engine(CHINESE, PAGE) == none_for(Uncompared.OTHER_SCRIPT)
    assert by_engine(PAGE, "too few") == none_for(Uncompared.FEW_WORDS)
    assert by_engine(PAGE, PAGE).against is Against.OCR


def test_a_layer_that_is_taken_rests_on_the_spot_check() -> None:
    report = LayerReport(verdict=LayerVerdict.TRUSTED, characters=900, agreement=0.98, numbers=1.0, compared=12)
    assert by_spot_check(report) == Trust(figure=0.98, numbers=1.0, against=Against.SPOT_CHECK)
    foreign = LayerReport(verdict=LayerVerdict.TRUSTED, characters=900, readable=0.1, script="Cyrillic")
    assert by_spot_check(foreign) == none_for(Uncompared.OTHER_SCRIPT)
    latin_names = LayerReport(
        verdict=LayerVerdict.TRUSTED, characters=900, readable=0.1, script="Cyrillic", agreement=0.99, numbers=1.0
    )
    assert by_spot_check(latin_names) == Trust(
        numbers=1.0, against=Against.SPOT_CHECK, uncompared=Uncompared.OTHER_SCRIPT
    )
    bilingual = LayerReport(
        verdict=LayerVerdict.TRUSTED, characters=900, readable=0.6, script="Latin", agreement=0.99, compared=12
    )
    assert by_spot_check(bilingual) == none_for(Uncompared.OTHER_SCRIPT)
    asked = LayerReport(verdict=LayerVerdict.DIFFERENT, characters=900, agreement=0.3, compared=12)
    assert by_spot_check(asked).untrusted_layer


def test_a_refused_layer_is_no_second_reading() -> None:
    refused = LayerReport(verdict=LayerVerdict.DIFFERENT, characters=900, script="Hebrew")
    compared = Trust(figure=0.2, numbers=0.1, against=Against.TEXT_LAYER, confidence=0.9)
    assert with_report(compared, refused) == Trust(uncompared=Uncompared.LAYER_REFUSED, confidence=0.9)
    by_other = Trust(figure=0.9, against=Against.OCR)
    assert with_report(by_other, refused) == by_other
    assert with_report(None, refused) is None


def test_a_refused_layer_names_the_script_of_a_page_that_could_not_be_read() -> None:
    refused = LayerReport(verdict=LayerVerdict.VISUAL_ORDER, characters=900, script="Hebrew")
    unread = Trust(uncompared=Uncompared.NO_SECOND_READING, unreadable=0.9, reads=("Latin",))
    named = with_report(unread, refused)
    assert named is not None
    assert named.script == "Hebrew"


@pytest.mark.parametrize(
    ("text", "other", "figure"),
    [
        ("1 2 3 4 5", "5 4 3 2 1", 1.0),
        ("1 2 3 4 5", "1 2 3 4", 8 / 9),
        ("1 2 3 4", "1 2 3 4", None),
        ("٣ ٤ ٥ ٦ ٧", "3 4 5 6 7", 1.0),
        ("10–20, 30-40 12:30 word1 H2O", "10 20 30 40 12:30", 1.0),
        ("<td>12</td><td>13</td> 14 15 16", "12 13 14 15 16", 1.0),
    ],
)
def test_numbers_agree_by_their_digits_and_the_marks_inside(text: str, other: str, figure: float | None) -> None:
    assert number_agreement(text, other) == (figure if figure is None else pytest.approx(figure))
