"""Blocks as plain text: in order, tables with tabs, running heads only where asked for."""

from libs.page.block import Block, BlockKind, Cell
from libs.page.text import to_text


def test_text_around_a_table_stays_around_it() -> None:
    table = Block(
        kind=BlockKind.TABLE,
        cells=(
            Cell(row=0, column=0, text="a"),
            Cell(row=0, column=1, text="b\nc"),
            Cell(row=1, column=0, text="wide", column_span=2),
        ),
    )
    before, after = (Block(kind=BlockKind.PARAGRAPH, text=text) for text in ("Before", "After\none"))
    assert to_text([before, table, after]) == "Before\n\na\tb c\nwide\t\n\nAfter\none"


def test_items_of_a_list_stand_below_each_other_with_their_markers() -> None:
    items = [
        Block(kind=BlockKind.LIST_ITEM, text="one\nmore", marker="•"),
        Block(kind=BlockKind.LIST_ITEM, text="deep", level=2),
        Block(kind=BlockKind.CHECK_BOX, text="done", checked=True),
        Block(kind=BlockKind.CHECK_BOX, text="open", checked=False),
    ]
    assert to_text(items) == "• one\n  more\n  - deep\n☑ done\n☐ open"


def test_formula_without_text_is_its_latex() -> None:
    assert to_text([Block(kind=BlockKind.FORMULA, latex="x^2")]) == "x^2"


def test_running_heads_and_page_numbers_are_left_out_unless_asked_for() -> None:
    page = [
        Block(kind=BlockKind.PAGE_HEADER, text="Report"),
        Block(kind=BlockKind.PARAGRAPH, text="Text", markdown="**Text**"),
        Block(kind=BlockKind.FIGURE),
        Block(kind=BlockKind.PAGE_NUMBER, text="7"),
    ]
    assert to_text(page) == "Text"
    assert to_text(page, headers=True) == "Report\n\nText\n\n7"
