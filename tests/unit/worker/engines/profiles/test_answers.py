"""Answers in each family's documented format, as blocks."""

import pytest

from libs.page.block import Block, BlockKind
from libs.page.markdown import to_markdown
from services.worker.engines.profiles import chandra, deepseek, dots, glm, lighton, nanonets, olmocr, paddle
from services.worker.engines.profiles.profile import Answer, Reader, View

# A page of which the model saw half the sides.
VIEW = View(width=1000, height=2000, shown_width=500, shown_height=1000)


def sound(read: Reader, text: str) -> Answer:
    answer = read(text, VIEW)
    assert not answer.malformed
    return answer


def kinds(answer: Answer) -> list[BlockKind]:
    return [block.kind for block in answer.blocks]


def test_nanonets_writes_markdown_with_tags() -> None:
    answer = sound(
        nanonets.read,
        "<watermark>DRAFT</watermark>\n\n# Report\n\nA sentence.\n\n<img>A chart of sales</img>\n\n☑ Paid\n☐ Open\n\n"
        "<table><tr><th>Year</th></tr><tr><td>2031</td></tr></table>\n\n$$\nE = mc^2\n$$\n\n"
        "<signature>J. Doe</signature>\n\n<page_number>9/22</page_number>",
    )
    assert kinds(answer) == [
        BlockKind.PARAGRAPH,
        BlockKind.TITLE,
        BlockKind.PARAGRAPH,
        BlockKind.FIGURE,
        BlockKind.CHECK_BOX,
        BlockKind.CHECK_BOX,
        BlockKind.TABLE,
        BlockKind.FORMULA,
        BlockKind.PARAGRAPH,
        BlockKind.PAGE_NUMBER,
    ]
    assert [block.text for block in answer.blocks if block.kind is BlockKind.PARAGRAPH] == [
        "DRAFT",
        "A sentence.",
        "J. Doe",
    ]


HEAD = (
    "---\nprimary_language: en\nis_rotation_valid: {valid}\nrotation_correction: {turn}\nis_table: False\n"
    "is_diagram: False\n---\n"
)


def test_olmocr_writes_markdown_below_a_head_of_yaml() -> None:
    answer = sound(
        olmocr.read,
        HEAD.format(valid="True", turn=0)
        + "# A title\n\nA sentence.\n\n![A map of the lake](page_50_100_200_300.png)\n\nAnother sentence.",
    )
    assert kinds(answer) == [BlockKind.TITLE, BlockKind.PARAGRAPH, BlockKind.FIGURE, BlockKind.PARAGRAPH]
    figure = answer.blocks[2]
    assert (figure.text, figure.box) == ("A map of the lake", (100.0, 200.0, 500.0, 800.0))
    assert to_markdown([figure]) == "<img>A map of the lake</img>"
    assert answer.turn == 0


def test_olmocr_says_how_a_page_is_turned() -> None:
    assert sound(olmocr.read, HEAD.format(valid="False", turn=270) + "Text.").turn == 270
    # The turn counts only together with the verdict.
    assert sound(olmocr.read, HEAD.format(valid="True", turn=90) + "Text.").turn == 0


@pytest.mark.parametrize("text", ["", "null"])
def test_olmocr_finds_nothing_on_a_page_without_text(text: str) -> None:
    assert sound(olmocr.read, HEAD.format(valid="True", turn=0) + text).blocks == ()


def test_olmocr_may_leave_the_head_out() -> None:
    assert sound(olmocr.read, "A sentence.\n\n---\n\nAnother.").blocks[0].text == "A sentence."


@pytest.mark.parametrize("corners", ["100,200,500,600", " 100, 200, 500, 600"])
def test_lighton_places_pictures_in_thousandths(corners: str) -> None:
    answer = sound(lighton.read, f"# A title\n\n![image](image_0.png){corners}\n\nA sentence.")
    assert kinds(answer) == [BlockKind.TITLE, BlockKind.FIGURE, BlockKind.PARAGRAPH]
    assert answer.blocks[1].box == (100.0, 400.0, 500.0, 1200.0)


def test_lighton_may_leave_places_out() -> None:
    assert sound(lighton.read, "A.\n\n![image](image_3.png)\n\nB.").blocks[1] == Block(kind=BlockKind.FIGURE)


def test_a_picture_in_a_listing_is_a_line_of_it() -> None:
    answer = sound(lighton.read, "```\n![image](image_0.png)\n```\n\nA.")
    assert kinds(answer) == [BlockKind.CODE, BlockKind.PARAGRAPH]


def test_chandra_writes_html_with_labels_and_boxes() -> None:
    answer = sound(
        chandra.read,
        '<div data-bbox="100 10 900 30" data-label="Page-Header"><p>ANNUAL REPORT</p></div>\n'
        '<div data-bbox="100 50 900 100" data-label="Section-Header"><h2>2. Results</h2></div>\n'
        '<div data-bbox="100 110 900 200" data-label="Text"><p>Sales <b>rose</b> by <math>x^2</math> in 2<sup>nd</sup>'
        " &lt;half&gt; of *the* year.</p></div>\n"
        '<div data-bbox="100 210 900 300" data-label="List-Group"><ul><li>one</li><li>two<ol><li>deep</li></ol></li>'
        "</ul></div>\n"
        '<div data-bbox="100 310 900 400" data-label="Equation-Block"><math display="block">a &lt; b</math></div>\n'
        '<div data-bbox="100 410 900 500" data-label="Table"><table><tr><th colspan="2">Year</th></tr>'
        '<tr><td><math>y</math></td><td><input type="checkbox" checked> 7</td></tr></table></div>\n'
        '<div data-bbox="100 510 900 600" data-label="Form"><p><input type="checkbox"> No<br>'
        '<input type="radio" checked> Yes</p></div>\n'
        '<div data-bbox="100 610 900 700" data-label="Figure"><img alt="A chart"><p>Sales by year</p></div>\n'
        '<div data-bbox="100 710 900 750" data-label="Caption"><p>Figure 1</p></div>\n'
        '<div data-bbox="100 760 900 800" data-label="Code-Block"><pre><code>x = *y*</code></pre></div>\n'
        '<div data-bbox="100 900 900 950" data-label="Footnote"><p>1 Unaudited.</p></div>\n'
        '<div data-bbox="480 970 520 990" data-label="Page-Footer"><p>12</p></div>',
    )
    assert [(block.kind, block.text) for block in answer.blocks] == [
        (BlockKind.PAGE_HEADER, "ANNUAL REPORT"),
        (BlockKind.HEADING, "2. Results"),
        (BlockKind.PARAGRAPH, "Sales rose by $x^2$ in 2nd <half> of *the* year."),
        (BlockKind.LIST_ITEM, "one"),
        (BlockKind.LIST_ITEM, "two"),
        (BlockKind.LIST_ITEM, "deep"),
        (BlockKind.FORMULA, ""),
        (BlockKind.TABLE, ""),
        (BlockKind.CHECK_BOX, "No"),
        (BlockKind.CHECK_BOX, "Yes"),
        (BlockKind.FIGURE, "A chart\n\nSales by year"),
        (BlockKind.CAPTION, "Figure 1"),
        (BlockKind.CODE, "x = *y*"),
        (BlockKind.FOOTNOTE, "1 Unaudited."),
        (BlockKind.PAGE_NUMBER, "12"),
    ]
    by_kind = {block.kind: block for block in answer.blocks}
    assert by_kind[BlockKind.PAGE_HEADER].box == (100.0, 20.0, 900.0, 60.0)
    assert by_kind[BlockKind.FORMULA].latex == "a < b"
    assert [(cell.text, cell.column_span) for cell in by_kind[BlockKind.TABLE].cells] == [
        ("Year", 2),
        ("$y$", 1),
        ("☑ 7", 1),
    ]
    items = [block.box for block in answer.blocks if block.kind is BlockKind.LIST_ITEM and block.box is not None]
    assert len(items) == 3
    assert (items[0][1], items[-1][3]) == (420.0, 600.0)
    assert [block.checked for block in answer.blocks if block.kind is BlockKind.CHECK_BOX] == [False, True]


def test_chandra_may_find_a_page_blank() -> None:
    assert sound(chandra.read, '<div data-bbox="0 0 1000 1000" data-label="Blank-Page"></div>').blocks == ()


DOTS = """[
  {"bbox": [50, 10, 450, 20], "category": "Page-header", "text": "ANNUAL REPORT"},
  {"bbox": [50, 25, 450, 50], "category": "Title", "text": "# The Year"},
  {"bbox": [50, 55, 450, 70], "category": "Section-header", "text": "Results"},
  {"bbox": [50, 75, 450, 150], "category": "Text", "text": "Sales **rose** by $5."},
  {"bbox": [50, 155, 450, 160], "category": "List-item", "text": "• one"},
  {"bbox": [50, 165, 450, 170], "category": "Formula", "text": "$$E = mc^2$$"},
  {"bbox": [50, 175, 450, 200], "category": "Table", "text": "<table><tr><td>7</td></tr></table>"},
  {"bbox": [50, 205, 450, 300], "category": "Picture"},
  {"bbox": [50, 305, 450, 310], "category": "Caption", "text": "Figure 1"},
  {"bbox": [50, 900, 450, 910], "category": "Footnote", "text": "1 Unaudited."},
  {"bbox": [240, 980, 260, 990], "category": "Page-footer", "text": "12"}
]"""
DOTS_KINDS = [
    BlockKind.PAGE_HEADER,
    BlockKind.TITLE,
    BlockKind.HEADING,
    BlockKind.PARAGRAPH,
    BlockKind.LIST_ITEM,
    BlockKind.FORMULA,
    BlockKind.TABLE,
    BlockKind.FIGURE,
    BlockKind.CAPTION,
    BlockKind.FOOTNOTE,
    BlockKind.PAGE_NUMBER,
]


@pytest.mark.parametrize("text", [DOTS, f"```json\n{DOTS}\n```", '{"layout": ' + DOTS + "}"])
def test_dots_writes_json(text: str) -> None:
    answer = sound(dots.read, text)
    assert kinds(answer) == DOTS_KINDS
    assert answer.blocks[0].box == (100.0, 20.0, 900.0, 40.0), "the boxes are pixels of the image that the model saw"
    assert answer.blocks[5].latex == "E = mc^2"
    assert [cell.text for cell in answer.blocks[6].cells] == ["7"]
    assert to_markdown(answer.blocks).split("\n\n")[:4] == [
        "# The Year",
        "## Results",
        "Sales **rose** by $5.",
        "- one",
    ]


def test_a_hash_in_a_heading_is_part_of_it() -> None:
    answer = sound(dots.read, '[{"bbox": [50, 25, 450, 50], "category": "Section-header", "text": "C# and F# in use"}]')
    assert to_markdown(answer.blocks) == "## C# and F# in use"


def test_deepseek_marks_each_part() -> None:
    answer = sound(
        deepseek.read,
        "<|ref|>title<|/ref|><|det|>[[100, 50, 900, 80]]<|/det|>\n# The Year\n\n"
        "<|ref|>text<|/ref|><|det|>[[100, 100, 450, 300], [500, 100, 900, 200]]<|/det|>\nSales rose.\n\n"
        "<|ref|>image<|/ref|><|det|>[[100, 310, 900, 500]]<|/det|>\n\n"
        "<|ref|>image_caption<|/ref|><|det|>[[100, 510, 900, 530]]<|/det|>\nFigure 1\n\n"
        "<|ref|>table<|/ref|><|det|>[[100, 540, 900, 700]]<|/det|>\n<table><tr><td>7</td></tr></table>\n\n"
        "<|ref|>equation<|/ref|><|det|>[[100, 710, 900, 800]]<|/det|>\n\\[E = mc^2\\]<｜end▁of▁sentence｜>",
    )
    assert kinds(answer) == [
        BlockKind.TITLE,
        BlockKind.PARAGRAPH,
        BlockKind.FIGURE,
        BlockKind.CAPTION,
        BlockKind.TABLE,
        BlockKind.FORMULA,
    ]
    assert answer.blocks[1].box == (100.1, 200.2, 900.9, 600.6), "around both columns"
    assert answer.blocks[-1].latex == "E = mc^2"


def test_deepseek_is_read_without_its_special_tokens_too() -> None:
    answer = sound(deepseek.read, "title[[100, 50, 900, 80]]\n# The Year\n\ntext[[0, 0, 999, 999]]\nSales rose.")
    assert kinds(answer) == [BlockKind.TITLE, BlockKind.PARAGRAPH]
    assert answer.blocks[1].box == (0.0, 0.0, 1000.0, 2000.0)


def test_deepseek_without_marks_is_markdown() -> None:
    assert kinds(sound(deepseek.read, "# The Year\n\nSales rose.")) == [BlockKind.TITLE, BlockKind.PARAGRAPH]


def test_paddle_writes_tables_as_otsl() -> None:
    answer = sound(
        paddle.read,
        "Sales by year\n\n<ched>Year<lcel><ecel><nl><fcel>2030<fcel>7<fcel>8<nl><ucel><fcel>9<ecel><nl>\n\n"
        "In millions.",
    )
    assert kinds(answer) == [BlockKind.PARAGRAPH, BlockKind.TABLE, BlockKind.PARAGRAPH]
    cells = [
        (cell.row, cell.column, cell.text, cell.row_span, cell.column_span, cell.header)
        for cell in answer.blocks[1].cells
    ]
    assert cells == [
        (0, 0, "Year", 1, 2, True),
        (0, 2, "", 1, 1, False),
        (1, 0, "2030", 2, 1, False),
        (1, 1, "7", 1, 1, False),
        (1, 2, "8", 1, 1, False),
        (2, 1, "9", 1, 1, False),
        (2, 2, "", 1, 1, False),
    ]


def test_paddle_reads_a_page_as_text() -> None:
    assert kinds(sound(paddle.read, "A sentence.\n\nAnother.")) == [BlockKind.PARAGRAPH, BlockKind.PARAGRAPH]


def test_glm_writes_markdown() -> None:
    assert kinds(sound(glm.PROFILE.read, "```markdown\n# A\n\nb\n```")) == [BlockKind.TITLE, BlockKind.PARAGRAPH]
