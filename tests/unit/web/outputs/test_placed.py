"""Which lines of a page a searchable PDF gets, and where."""

import msgspec
import pytest

from libs.jobstate.outcome import OutcomeStatus, PageOutcome
from libs.page.block import Block, BlockKind, Line, Source
from services.web.outputs.placed import page_text

LINE = Line(text="as printed", box=((10, 10), (60, 12), (60, 22), (10, 20)))
READ = PageOutcome(
    page_no=1,
    run=1,
    status=OutcomeStatus.COMPLETED,
    source=Source.OCR,
    blocks=(Block(kind=BlockKind.PARAGRAPH, text="as printed", box=(10, 10, 60, 22), lines=(LINE,)),),
    width=200,
    height=300,
)


def placed_lines(outcome: PageOutcome) -> tuple[Line, ...]:
    text = page_text(outcome)
    assert text is not None
    return text.lines


def test_lines_are_where_the_engine_found_them() -> None:
    assert placed_lines(READ) == (LINE,)


def test_the_lines_of_an_outcome_from_before_there_were_blocks_are_used() -> None:
    old = msgspec.structs.replace(READ, blocks=(), lines=(LINE,), text="as printed", source=None)
    assert placed_lines(old) == (LINE,)


@pytest.mark.parametrize(
    "change",
    [{"source": Source.TEXT_LAYER}, {"blank": True}, {"status": OutcomeStatus.FAILED, "error": "It is torn."}],
)
def test_a_page_without_recognised_text_gets_none(change: dict[str, object]) -> None:
    assert page_text(msgspec.structs.replace(READ, **change)) is None


def test_text_without_places_is_laid_over_the_page_in_order() -> None:
    written = msgspec.structs.replace(
        READ, blocks=(), text="# A title\n\nA paragraph\nof two lines", source=Source.MODEL
    )
    lines = placed_lines(written)

    assert [line.text for line in lines] == ["A title", "A paragraph", "of two lines"]
    tops = [line.box[0][1] for line in lines]
    assert tops == sorted(tops)
    assert all(0 < x < 200 and 0 < y < 300 for line in lines for x, y in line.box)


def test_text_without_places_needs_no_size_of_the_page() -> None:
    old = page_text(msgspec.structs.replace(READ, blocks=(), text="A paragraph", source=None, width=0, height=0))
    assert old is not None
    assert all(0 < x < old.width and 0 < y < old.height for line in old.lines for x, y in line.box)


def test_however_much_text_there_is_it_stays_on_the_page() -> None:
    written = msgspec.structs.replace(READ, blocks=(), text="\n\n".join(["word " * 400] * 500), source=Source.MODEL)
    lines = placed_lines(written)

    assert len(lines) == 500
    assert all(0 < x < 200 and 0 < y < 300 for line in lines for x, y in line.box)


def test_a_block_with_a_place_and_no_lines_is_beside_those_with_lines() -> None:
    caption = Block(kind=BlockKind.CAPTION, text="Figure 1\nbelow", box=(20, 100, 90, 120))
    picture = Block(kind=BlockKind.FIGURE, text="A cat", box=(20, 30, 90, 100))
    first, upper, lower = placed_lines(msgspec.structs.replace(READ, blocks=(*READ.blocks, picture, caption)))

    assert first == LINE
    assert (upper.text, lower.text) == ("Figure 1", "below")
    assert upper.box[0] == (20, 100)
    assert lower.box[2][1] == 120
