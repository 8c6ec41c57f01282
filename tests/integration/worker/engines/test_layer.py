"""A page's own text is taken where it is what is printed, and recognised where it is not, whatever is wrong with it."""

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from libs import textlayer
from libs.jobstate.intake import OcrMode
from libs.jobstate.provenance import LayerReport, LayerVerdict
from libs.page.block import Source
from libs.page.trust import Against, Trust, Uncompared
from services.worker.engines.engine import Finish, PageFailure, PageText
from services.worker.engines.layer.ink import ink
from services.worker.engines.layer.lines import page_lines
from services.worker.engines.layer.reader import LayerReader
from services.worker.engines.picture import decode
from tests import layered
from tests.layered import CHINESE, HEBREW, OTHER, PROSE, page_of

pytest.importorskip("rapidocr")


@pytest.fixture(scope="module")
def reader() -> LayerReader:
    """One reader, which loads its model once."""
    return LayerReader(threads=2)


def words(text: str) -> list[str]:
    """The words of a text in order."""
    return text.replace("#", " ").split()


@pytest.mark.parametrize(
    ("draw", "text"),
    [
        (layered.plain, "Annual report " + PROSE),
        (layered.turned, "Annual report " + PROSE),
        (layered.sideways, PROSE),
        (layered.ligatures, "The first officer defined floors and flowers in the final file"),
        (layered.chinese, CHINESE),
        (layered.drawing, PROSE),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_good_layer_is_taken_to_the_letter(
    reader: LayerReader, tmp_path: Path, draw: Callable[[Any], object], text: str
) -> None:
    found = reader.read(page_of(draw, tmp_path))
    assert isinstance(found, PageText), found
    assert words(found.markdown) == words(text)
    assert (found.source, found.engine and found.engine.name) == (Source.TEXT_LAYER, "text_layer")
    assert found.text_layer is not None
    assert found.text_layer.verdict is LayerVerdict.TRUSTED
    assert found.text_layer.compared > 0
    assert found.trust is not None
    assert (found.trust.figure, found.trust.against) == (found.text_layer.agreement, Against.SPOT_CHECK)


def test_a_script_that_the_recogniser_cannot_read_is_not_compared(reader: LayerReader, tmp_path: Path) -> None:
    found = reader.read(page_of(layered.hebrew, tmp_path))
    assert isinstance(found, PageText), found
    assert words(found.markdown) == words(HEBREW)
    assert found.text_layer is not None
    assert (found.text_layer.compared, found.text_layer.script) == (0, "Hebrew")
    assert found.trust == Trust(uncompared=Uncompared.OTHER_SCRIPT)


def test_letters_of_a_ligature_that_runs_left_keep_their_order(tmp_path: Path) -> None:
    layer = textlayer.read(page_of(layered.lam_alef, tmp_path).data)
    assert layer is not None
    assert textlayer.visible_text(layer) == "سلام"


def test_a_number_beside_a_word_that_runs_left_is_a_word_of_its_own(tmp_path: Path) -> None:
    layer = textlayer.read(page_of(layered.number_at_the_left, tmp_path).data)
    assert layer is not None
    assert [line.text for line in page_lines(layer).lines] == ["אבג 2014"]


def test_characters_in_columns_are_where_they_are_printed(tmp_path: Path) -> None:
    page = page_of(layered.columns_of_characters, tmp_path)
    layer = textlayer.read(page.data)
    assert layer is not None
    assert {line.vertical for line in layer.lines} == {True}
    shown = ink(layer, decode(page.data))
    assert shown.unseen == 0
    assert "".join(line.text for line in shown.seen.lines) == "竖排的文字一"


def test_columns_are_read_one_after_the_other(reader: LayerReader, tmp_path: Path) -> None:
    found = reader.read(page_of(layered.two_columns, tmp_path))
    assert isinstance(found, PageText), found
    assert words(found.markdown) == words(PROSE) + words(OTHER)


@pytest.mark.parametrize(
    ("draw", "verdict"),
    [
        (layered.shifted, LayerVerdict.DIFFERENT),
        (layered.one_shifted_font, LayerVerdict.DIFFERENT),
        (layered.unmapped, LayerVerdict.GARBLED),
        (layered.visual_order, LayerVerdict.VISUAL_ORDER),
        (layered.scanned, LayerVerdict.INVISIBLE),
        (layered.misread, LayerVerdict.INVISIBLE),
        (layered.covered, LayerVerdict.INVISIBLE),
        (layered.half, LayerVerdict.INCOMPLETE),
        (layered.hidden, LayerVerdict.UNSEEN),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_bad_layer_is_refused_for_what_is_wrong_with_it(
    reader: LayerReader, tmp_path: Path, draw: Callable[[Any], object], verdict: LayerVerdict
) -> None:
    found = reader.read(page_of(draw, tmp_path))
    assert isinstance(found, LayerReport), found
    assert found.verdict is verdict, found


def test_with_text_a_layer_is_taken_whatever_is_wrong_with_it(reader: LayerReader, tmp_path: Path) -> None:
    found = reader.read(page_of(layered.scanned, tmp_path, ocr=OcrMode.TEXT))
    assert isinstance(found, PageText), found
    assert words(found.markdown) == words(PROSE)
    assert found.text_layer is not None
    assert found.text_layer.verdict is LayerVerdict.INVISIBLE


def test_with_text_a_page_without_text_fails_and_an_empty_one_is_blank(reader: LayerReader, tmp_path: Path) -> None:
    drawn = reader.read(page_of(lambda page: page.draw_circle((100, 100), 50), tmp_path, ocr=OcrMode.TEXT))
    assert isinstance(drawn, PageFailure)
    assert "ocr=auto" in drawn.reason
    blank = reader.read(page_of(lambda page: None, tmp_path, ocr=OcrMode.TEXT))
    assert isinstance(blank, PageText)
    assert blank.finish is Finish.BLANK


def test_a_page_without_text_is_left_to_the_engine(reader: LayerReader, tmp_path: Path) -> None:
    assert reader.read(page_of(lambda page: page.draw_circle((100, 100), 50), tmp_path)) is None


def test_words_that_the_page_does_not_show_are_left_out(reader: LayerReader, tmp_path: Path) -> None:
    def draw(page: Any) -> None:
        layered.plain(page)
        layered.write(page, "confidential", top=400, color=(1, 1, 1))

    found = reader.read(page_of(draw, tmp_path))
    assert isinstance(found, PageText), found
    assert "confidential" not in found.markdown


def test_lines_lie_where_the_page_shows_them(reader: LayerReader, tmp_path: Path) -> None:
    found = reader.read(page_of(layered.turned, tmp_path))
    assert isinstance(found, PageText), found
    assert found.rotation == 270
    xs = [x for line in found.lines for x, _ in line.box]
    ys = [y for line in found.lines for _, y in line.box]
    assert (found.width, found.height) == (1240, 875)
    assert min(xs) >= 0
    assert max(xs) <= found.width
    assert min(ys) >= 0
    assert max(ys) <= found.height
    first = next(line for line in found.lines if difflib.get_close_matches(line.text, ["Annual report"]))
    assert [word.text for word in first.words] == ["Annual", "report"]
