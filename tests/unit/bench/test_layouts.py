"""Kinds of regions joined with blocks of ours: lines keep their order, and none is lost."""

from bench.layout_libraries import Region
from bench.layouts import joined
from libs.page.block import Block, BlockKind, Line, Rect, lines_of


def line(text: str, top: float) -> Line:
    return Line(text=text, box=((0, top), (100, top), (100, top + 10), (0, top + 10)))


def block(kind: BlockKind, *lines: Line, level: int | None = None) -> Block:
    return Block(kind=kind, text="\n".join(one.text for one in lines), lines=lines, level=level)


def region(kind: BlockKind, box: Rect) -> Region:
    return Region(kind=kind, box=box)


HEAD, FIRST, SECOND = line("Results", 0), line("It fell", 20), line("and rose", 40)


def test_region_of_a_kind_splits_the_block_whose_first_line_it_has() -> None:
    found = joined(
        [block(BlockKind.PARAGRAPH, HEAD, FIRST, SECOND)], [region(BlockKind.HEADING, (0, 0, 100, 12))], alone=False
    )
    assert [(one.kind, one.text) for one in found] == [
        (BlockKind.HEADING, "Results"),
        (BlockKind.PARAGRAPH, "It fell\nand rose"),
    ]
    assert lines_of(found) == (HEAD, FIRST, SECOND)


def test_region_of_a_kind_joins_the_blocks_that_it_has() -> None:
    found = joined(
        [block(BlockKind.PARAGRAPH, FIRST), block(BlockKind.PARAGRAPH, SECOND)],
        [region(BlockKind.CAPTION, (0, 15, 100, 60))],
        alone=False,
    )
    assert [(one.kind, one.text) for one in found] == [(BlockKind.CAPTION, "It fell\nand rose")]


def test_blocks_outside_of_all_regions_stay_what_they_are_unless_the_library_is_alone() -> None:
    blocks = [block(BlockKind.HEADING, HEAD, level=2), block(BlockKind.PARAGRAPH, FIRST)]
    text = region(BlockKind.PARAGRAPH, (0, 0, 100, 60))
    assert joined(blocks, [text], alone=False) == tuple(blocks)
    assert [one.kind for one in joined(blocks, [text], alone=True)] == [BlockKind.PARAGRAPH] * 2


def test_figures_of_the_library_are_blocks_with_a_place_and_no_text() -> None:
    (found,) = joined([], [region(BlockKind.FIGURE, (0, 0, 50, 50))], alone=False)
    assert (found.kind, found.box, found.text) == (BlockKind.FIGURE, (0, 0, 50, 50), "")
