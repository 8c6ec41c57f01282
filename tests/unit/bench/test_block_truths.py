"""Found blocks against the truths of a page: by first words, by place, and what counts neither way."""

from bench.block_truths import Kind, Scores, Tally, Truth, truths
from libs.page.block import Block, BlockKind, Rect

SIZE = (1000, 2000)


def block(kind: BlockKind, text: str = "", box: Rect | None = (0, 0, 10, 10), level: int | None = None) -> Block:
    return Block(kind=kind, text=text, box=box, level=level)


def scored(truth: Truth, *blocks: Block) -> Scores:
    scores = Scores()
    scores.add(truth, blocks, SIZE)
    return scores


def tally(kind: Kind, truth: Truth, *blocks: Block) -> tuple[int, int, int, int]:
    found: Tally = scored(truth, *blocks).tallies[kind]
    return found.truths, found.truths_found, found.found, found.found_right


def test_heading_is_found_by_its_first_words_in_spite_of_a_misread_letter() -> None:
    truth = Truth(pdf="a", page=1, headings=((1, "Individual Privacy"), (2, "Results")))
    found = block(BlockKind.TITLE, "Indivldual Privacy: A Formulation")
    assert tally(Kind.HEADING, truth, found) == (2, 1, 1, 1)


def test_item_is_found_with_and_without_its_marker() -> None:
    truth = Truth(pdf="a", page=1, items=("first of them", "second of them"))
    found = block(BlockKind.LIST_ITEM, "first of them all"), block(BlockKind.LIST_ITEM, "2. second of them")
    assert tally(Kind.ITEM, truth, *found) == (2, 2, 2, 2)


def test_paragraph_that_begins_otherwise_is_no_heading() -> None:
    truth = Truth(pdf="a", page=1, headings=((1, "Results"),))
    assert tally(Kind.HEADING, truth, block(BlockKind.HEADING, "Of the results")) == (1, 0, 1, 0)
    assert tally(Kind.HEADING, truth, block(BlockKind.PARAGRAPH, "Results")) == (1, 0, 0, 0)


def test_what_is_open_counts_neither_way() -> None:
    truth = Truth(pdf="a", page=1, open=("A subtitle",), open_boxes=((0, 50, 100, 100),))
    by_words = block(BlockKind.HEADING, "A subtitle of some length")
    by_place = block(BlockKind.HEADING, "A label", (10, 1500, 90, 1520))
    assert tally(Kind.HEADING, truth, by_words, by_place) == (0, 0, 0, 0)


def test_page_number_is_found_in_a_running_foot_that_has_it() -> None:
    truth = Truth(pdf="a", page=1, running=("Annals of a society",), numbers=("12",))
    found = block(BlockKind.PAGE_FOOTER, "Annals of a society 12")
    assert tally(Kind.NUMBER, truth, found) == (1, 1, 0, 0)
    assert tally(Kind.RUNNING, truth, found) == (1, 1, 1, 1)
    assert tally(Kind.NUMBER, truth, block(BlockKind.PAGE_NUMBER, "112")) == (1, 0, 1, 0)


def test_table_is_found_where_half_of_the_joint_area_is_shared() -> None:
    truth = Truth(pdf="a", page=1, tables=((10, 10, 50, 20),))
    assert tally(Kind.TABLE, truth, block(BlockKind.TABLE, box=(100, 200, 520, 420))) == (1, 1, 1, 1)
    assert tally(Kind.TABLE, truth, block(BlockKind.TABLE, box=(100, 200, 300, 280))) == (1, 0, 1, 0)


def test_levels_are_compared_by_their_order() -> None:
    truth = Truth(pdf="a", page=1, headings=((1, "The title"), (2, "First part"), (2, "Second part")))
    found = (
        block(BlockKind.TITLE, "The title", level=1),
        block(BlockKind.HEADING, "First part", level=4),
        block(BlockKind.HEADING, "Second part", level=1),
    )
    scores = scored(truth, *found)
    assert (scores.pairs_right, scores.pairs) == (1, 2)


def test_every_truth_has_boxes_within_its_page() -> None:
    pages = truths()
    assert len({(page.pdf, page.page) for page in pages}) == len(pages)
    for page in pages:
        for left, top, right, bottom in (*page.tables, *page.figures, *page.open_boxes):
            assert 0 <= left < right <= 100 and 0 <= top < bottom <= 100, page.pdf
