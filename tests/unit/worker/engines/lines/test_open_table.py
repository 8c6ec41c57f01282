"""Tables without upright rules: their rows, columns and headers, from level rules and the alignment of the text."""

from libs.page.block import Block, BlockKind, Cell, Line, Rect, Word
from libs.page.markdown import to_markdown
from services.worker.engines.lines.layout import lay_out
from services.worker.engines.lines.page_reader import PageLines
from services.worker.engines.lines.pose import Pose

UNIT, STEP = 20.0, 30.0
LEFT, RIGHT = 100.0, 700.0


def line(text: str, left: float, row: float, *, right: float | None = None) -> Line:
    """A line in a row, 10 pixels a character; `right` is the edge at which it ends instead."""
    top, width = 100 + STEP * row, 10.0 * len(text)
    left = left if right is None else right - width
    return Line(text=text, box=((left, top), (left + width, top), (left + width, top + UNIT), (left, top + UNIT)))


def rule(row: float, left: float = LEFT, right: float = RIGHT) -> Rect:
    """A level rule just above a row."""
    y = 100 + STEP * row - 6
    return (left, y, right, y + 1)


def laid_out(lines: list[Line], *rules: Rect) -> tuple[Block, ...]:
    return lay_out(PageLines(pose=Pose(width=800, height=1100), lines=tuple(lines), rules=rules))


def table(blocks: tuple[Block, ...]) -> tuple[Cell, ...]:
    (found,) = (block.cells for block in blocks if block.kind is BlockKind.TABLE)
    return found


def rows(cells: tuple[Cell, ...]) -> list[list[str]]:
    return [[cell.text for cell in cells if cell.row == at] for at in range(max(cell.row for cell in cells) + 1)]


def body(first: int, count: int) -> list[Line]:
    return [
        one
        for row in range(first, first + count)
        for one in (line(f"name {row}", 100, row), line("web pages", 300, row), line(f"{row}.5", 0, row, right=700))
    ]


HEADER = [line("Source", 100, 0), line("Type", 300, 0), line("Words", 0, 0, right=700)]


def test_rows_above_the_second_rule_are_the_header() -> None:
    cells = table(laid_out([*HEADER, *body(1, 4)], rule(0), rule(1), rule(5)))
    assert {cell.row for cell in cells if cell.header} == {0}
    assert rows(cells)[:2] == [["Source", "Type", "Words"], ["name 1", "web pages", "1.5"]]


def test_first_column_of_uneven_rows_belongs_to_the_table() -> None:
    # Lines of a cell that are not level with those of its row once made the first column a column of the page.
    lines = [*HEADER, *body(1, 1), *body(3, 1), *body(5, 1), *body(6, 2)]
    lines += [line("filtered", 120, 3.6), line("and more", 120, 4.2), line("from there", 120, 5.5)]
    cells = table(laid_out(lines, rule(0), rule(1), rule(8)))
    assert [row[0] for row in rows(cells)] == [
        "Source",
        "name 1",
        "name 3 filtered and more",
        "name 5 from there",
        "name 6",
        "name 7",
    ]


def test_text_over_several_columns_spans_them() -> None:
    lines = [
        *(line("North", 310, 0), line("South", 560, 0)),
        *(line("Town", 100, 1), line("old", 260, 1), line("new", 380, 1), line("old", 510, 1), line("new", 640, 1)),
        *(
            one
            for row in range(2, 6)
            for one in (line(f"town {row}", 100, row), *(line("1.5", left, row) for left in (260, 380, 510, 640)))
        ),
    ]
    cells = table(laid_out(lines, rule(0), rule(2), rule(6)))
    assert [(c.text, c.column, c.column_span) for c in cells if c.row == 0] == [
        ("", 0, 1),
        ("North", 1, 2),
        ("South", 3, 2),
    ]
    assert {cell.row for cell in cells if cell.header} == {0, 1}


def test_slanted_lines_name_the_columns_above_which_they_begin() -> None:
    slanted = [
        Line(text=text, box=((left, 100), (left + 80, 100), (left + 80, 120), (left, 120)))
        for text, left in (("Kind", 310), ("Words", 670), ("DRAFT", 2000))
    ]
    page = PageLines(
        pose=Pose(width=800, height=1100),
        lines=(HEADER[0], *body(1, 4)),
        rules=(rule(0), rule(1), rule(5)),
        slanted=tuple(slanted),
    )
    assert rows(table(lay_out(page)))[0] == ["Source", "Kind", "Words"]


def test_title_in_the_middle_of_all_columns_spans_them() -> None:
    lines = [*HEADER, line("Mixed before training", 295, 1), *body(2, 4)]
    cells = table(laid_out(lines, rule(0), rule(1), rule(6)))
    assert [(c.text, c.column_span) for c in cells if c.row == 1] == [("Mixed before training", 3)]


def test_tables_of_one_width_stay_two_where_text_stands_between_them() -> None:
    lines = [*HEADER, *body(1, 3), line("Table 2: The same again, in other words than before", 100, 5)]
    lines += [*(line(text, left, 7) for text, left in (("Source", 100), ("Type", 300), ("Words", 650))), *body(8, 3)]
    blocks = laid_out(lines, rule(0), rule(1), rule(4), rule(7), rule(8), rule(11))
    assert [block.kind for block in blocks] == [BlockKind.TABLE, BlockKind.CAPTION, BlockKind.TABLE]


def test_name_of_a_table_below_a_rule_begins_the_next_one() -> None:
    lines: list[Line] = []
    for top, name in ((0, "Table 1: of the week"), (6, "Table 2: of the month")):
        lines += [line(name, 300, top), *(line(text, left, top + 1) for text, left in (("Source", 100), ("Type", 300)))]
        lines += body(top + 2, 4)
    blocks = laid_out(lines, rule(0), rule(6), rule(12))
    assert [len(rows(block.cells)) for block in blocks if block.kind is BlockKind.TABLE] == [6, 6]


def test_rules_that_are_drawn_cell_by_cell_are_one() -> None:
    pieces = [rule(row, *ends) for row in (0, 1, 5) for ends in ((100, 290), (290, 600), (600, 700))]
    cells = table(laid_out([*HEADER, *body(1, 4)], *pieces))
    assert {cell.row for cell in cells if cell.header} == {0}
    assert cells == table(laid_out([*HEADER, *body(1, 4)], rule(0), rule(1), rule(5)))


def test_rules_of_a_sum_end_no_table_and_titles_between_rules_begin_none() -> None:
    titles = [line(text, 300, row) for row, text in enumerate(("Report of it", "from July on", "All complaints"))]
    names = [line("Kind", 100, 3), line("of", 300, 3), line("Words", 0, 3, right=700)]
    lines = [*titles, *names, *body(4, 3), *body(7, 1), *body(8, 4)]
    blocks = laid_out(lines, rule(0), rule(7), rule(8), rule(12))
    assert len(rows(table(blocks))) == 9
    assert [block.text.split("\n")[0] for block in blocks if block.kind is not BlockKind.TABLE] == ["Report of it"]


def test_columns_of_prose_between_rules_are_no_table() -> None:
    prose = "words of a narrow column of it"
    lines = [line(prose, left, row) for row in range(10) for left in (100, 450, 800)]
    rules = (rule(0, right=1100), rule(10, right=1100))
    blocks = lay_out(PageLines(pose=Pose(width=1200, height=1100), lines=tuple(lines), rules=rules))
    assert {block.kind for block in blocks} == {BlockKind.PARAGRAPH}


def test_rules_below_columns_of_numbers_are_no_table_of_their_own() -> None:
    lines = [*HEADER, *body(1, 4)]
    blocks = laid_out(lines, rule(1, 560, 700), rule(3, 560, 700), rule(5, 560, 700))
    assert rows(table(blocks))[1] == ["name 1", "web pages", "1.5"]


def test_currency_stands_in_the_cell_of_its_number() -> None:
    lines = [line("Year Ended", 500, 0), line("2024", 0, 1, right=500), line("2025", 0, 1, right=700)]
    for row, first, second in ((2, "178", "141"), (3, "3,423", "2,532"), (4, "1,136", "876"), (5, "4,737", "3,549")):
        lines += [line(f"cost {row}", 100, row), line(first, 0, row, right=500), line(second, 0, row, right=700)]
        if row in (2, 5):
            lines += [line("$", 400, row), line("$", 600, row)]
    cells = table(laid_out(lines))
    assert rows(cells)[2] == ["cost 2", "$178", "$141"]
    assert [(c.text, c.column_span, c.header) for c in cells if c.row == 0] == [("", 1, True), ("Year Ended", 2, True)]


def test_formulas_and_lines_of_prose_are_no_rows_of_a_table() -> None:
    formulas = [one for row in range(4) for one in (line("λ = ∑ x", 100, row), line("= ∑ y", 400, row))]
    assert "<table>" not in to_markdown(laid_out(formulas))
    sentence = line("and here the text goes on with a sentence that is as long as any other", 100, 5)
    assert to_markdown(laid_out([*HEADER, *body(1, 4), sentence])).endswith(f"</table>\n\n{sentence.text}")


def test_rules_between_the_rows_keep_the_lines_of_a_cell_together() -> None:
    lines = []
    for row, text in ((0, "rent"), (3, "pay"), (6, "tax"), (9, "rates")):
        lines += [line(f"0{row}-01", 100, row), line(text, 300, row), line(f"{row}5.00", 0, row, right=700)]
        lines += [line("paid by order", 300, row + 1), line("of the day", 300, row + 2)]
    cells = table(laid_out(lines, *(rule(row) for row in (0, 3, 6, 9, 12))))
    assert rows(cells) == [
        [f"0{row}-01", f"{text} paid by order of the day", f"{row}5.00"]
        for row, text in ((0, "rent"), (3, "pay"), (6, "tax"), (9, "rates"))
    ]


def test_row_above_the_first_of_many_rules_is_one_of_the_table() -> None:
    lines = [line("An account of it", 100, -3)]
    for row, text in ((0, "rent"), (2, "pay"), (4, "tax"), (6, "rates")):
        lines += [line(f"0{row}-01", 100, row), line(text, 300, row), line(f"{row}5.00", 0, row, right=700)]
        lines.append(line("by order", 300, row + 0.8))
    blocks = laid_out(lines, *(rule(row) for row in (2, 4, 6, 8)))
    assert rows(table(blocks))[0] == ["00-01", "rent by order", "05.00"]
    assert [block.text for block in blocks if block.kind is not BlockKind.TABLE] == ["An account of it"]


def test_rows_of_figures_above_the_rule_of_a_sum_are_no_header() -> None:
    lines = [*HEADER, *body(1, 4), *body(5, 6)]
    cells = table(laid_out(lines, rule(0), rule(5), rule(6), rule(11)))
    assert rows(cells)[1] == ["name 1", "web pages", "1.5"]
    assert {cell.row for cell in cells if cell.header} == {0}


def test_lines_below_a_line_of_two_cells_go_on_with_it() -> None:
    lines = []
    for row, text in ((0, "NL04 0163 Pay"), (2, "NL28 0174 Rent"), (4, "NL91 0177 Tax"), (6, "NL25 0185 Fee")):
        lines += [line("03-01", 100, row), line(text, 200, row), line("by order of 2017", 260, row + 1)]
        lines.append(line(f"{row}5.00", 0, row, right=700))
    cells = table(laid_out(lines, *(rule(row) for row in (0, 2, 4, 6, 8))))
    assert rows(cells)[1] == ["03-01", "NL28 0174 Rent by order of 2017", "25.00"]


def test_rules_between_groups_of_rows_join_none() -> None:
    lines = [*HEADER, *body(1, 3), *body(4, 3), *body(7, 3)]
    cells = table(laid_out(lines, *(rule(row) for row in (0, 1, 4, 7, 10))))
    assert len(rows(cells)) == 10


def words(text: str, left: float, row: float) -> Line:
    """A line with its words."""
    whole, at = line(text, left, row), left
    found = []
    for word in text.split():
        found.append(Word(text=word, box=(at, whole.box[0][1], at + 10 * len(word), whole.box[2][1])))
        at += 10 * (len(word) + 1)
    return Line(text=text, box=whole.box, words=tuple(found))


def test_line_that_reaches_out_of_a_table_is_not_cut_by_it() -> None:
    lines = []
    for row in (0, 2, 4, 6):
        lines += [words("beyond NL04 Pay", 20, row), words("by order", 150, row + 1), words("NL04 it", 90, row + 10)]
        lines += [line(f"{row}5.00", 0, row, right=700)]
    blocks = laid_out(lines, *(rule(row) for row in (0, 2, 4, 6, 8)))
    written = to_markdown(blocks)
    assert written.count("beyond NL04 Pay") == 4
    assert sorted(one.text for block in blocks for one in block.lines) == sorted(one.text for one in lines)


def test_line_that_holds_two_cells_is_cut_where_others_begin() -> None:
    lines = []
    for row in (0, 2, 4, 6):
        lines += [words(f"NL04 000{row} Pay", 100, row), words("by order", 200, row + 1)]
        lines += [line(f"{row}5.00", 0, row, right=700)]
    blocks = laid_out(lines, *(rule(row) for row in (0, 2, 4, 6, 8)))
    assert rows(table(blocks))[1] == ["NL04 0002", "Pay by order", "25.00"]
    assert sorted(one.text for block in blocks for one in block.lines) == sorted(one.text for one in lines)


def test_names_of_columns_in_several_lines_are_one_row_of_the_header() -> None:
    lines = [line("Mean", 300, 0), line("concentration", 300, 0.7), line("Compound", 100, 1.4), line("(ug)", 300, 1.4)]
    lines += [line("Dose", 0, 0, right=700), line("(%)", 0, 1.4, right=700)]
    cells = table(laid_out([*lines, *body(3, 4)], rule(0), rule(2.6), rule(7)))
    assert rows(cells)[0] == ["Compound", "Mean concentration (ug)", "Dose (%)"]
    assert {cell.row for cell in cells if cell.header} == {0}


def test_title_in_the_middle_of_two_columns_spans_them() -> None:
    lines = [line("Purge and trap", 330, 0), line("Gas", 385, 4)]
    for row in (1, 2, 3, *range(5, 12)):
        lines += [line(f"name of {row}", 100, row), line("as it should be", 560, row)]
    cells = table(laid_out(lines, rule(0), rule(12)))
    assert [(cell.text, cell.row) for cell in cells if cell.column_span == 2] == [("Purge and trap", 0), ("Gas", 4)]


def test_lines_without_a_number_of_their_own_belong_to_the_counted_row_above() -> None:
    lines = []
    for row, number in ((0, "1."), (1, "2."), (2, "3."), (4, "4.")):
        lines += [line(number, 100, row), line("amount of wages", 160, row), line("600.00", 0, row, right=700)]
    lines.append(line("before the tax", 160, 3))
    cells = table(laid_out(lines))
    assert rows(cells)[2] == ["3.", "amount of wages before the tax", "600.00"]
    assert len(rows(cells)) == 4
    title = [line("in kind", 160, 5.8), line("other", 160, 6.8), line("9.00", 0, 6.8, right=700)]
    assert rows(table(laid_out([*lines, *title])))[-2:] == [["", "in kind", ""], ["", "other", "9.00"]]


def test_values_without_a_name_belong_to_the_name_above_but_for_sums() -> None:
    names = ["Reign", "Spouses", "", "Issue", "House", "Father", "Mother"]
    values = ["since then", "Wulfthryth", "Elfthryth", "Edward", "Wessex", "Edmund", "Shaftesbury"]
    lines = [line(text, 100, row) for row, text in enumerate(names) if text]
    lines += [line(text, 300, row) for row, text in enumerate(values)]
    assert rows(table(laid_out(lines)))[1:3] == [["Spouses", "Wulfthryth Elfthryth"], ["Issue", "Edward"]]
    sums = [*HEADER[:1], line("Cost", 0, 0, right=700), line("9.00", 0, 4, right=700)]
    for row in (1, 2, 3, 5, 6):
        sums += [line(f"name {row}", 100, row), line(f"{row}.50", 0, row, right=700)]
    assert rows(table(laid_out(sums)))[4] == ["", "9.00"]


def test_names_in_two_lines_above_figures_are_one_row() -> None:
    lines = [line("%Chg", 0, 0, right=right) for right in (560, 700)]
    lines += [line(text, 0, 1, right=right) for text, right in (("2016", 400), ("to '01", 560), ("to '98", 700))]
    for row in range(2, 6):
        lines += [line(f"town {row}", 100, row)]
        lines += [line(f"{row}.{at}", 0, row, right=right) for at, right in enumerate((400, 560, 700))]
    cells = table(laid_out(lines))
    assert [cell.text for cell in cells if cell.header] == ["", "2016", "%Chg to '01", "%Chg to '98"]


def test_columns_of_numbers_may_stand_closer_than_columns_of_words() -> None:
    lines = []
    for row in range(6):
        lines += [line(f"town {row}", 100, row), line(f"{row}00", 0, row, right=400), line(f"-{row}.5", 405, row)]
    assert rows(table(laid_out(lines)))[1] == ["town 1", "100", "-1.5"]


def test_percent_stands_in_the_cell_of_its_number() -> None:
    lines = []
    for row in range(4):
        lines += [line(f"tax {row}", 100, row), line("21.00", 300, row), line("%", 400, row)]
        lines.append(line("116.51", 0, row, right=700))
    assert rows(table(laid_out(lines)))[1] == ["tax 1", "21.00 %", "116.51"]
