"""Blocks as HTML: every kind, escaped, and nothing of the document as markup."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.page.block import Block, BlockKind, Cell, Line
from services.web.text.blocks import blocks_html
from tests.attacks import HOSTILE
from tests.unit.web.text.test_html import ALLOWED, Tree

KINDS = [kind for kind in BlockKind if kind not in (BlockKind.TABLE, BlockKind.FORMULA)]


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (Block(kind=BlockKind.TITLE, text="Two\nlines"), "<h1>Two lines</h1>\n"),
        (Block(kind=BlockKind.HEADING, text="A & B", level=3), "<h3>A &amp; B</h3>\n"),
        (Block(kind=BlockKind.PARAGRAPH, text="1 Main Street\nSpringfield"), "<p>1 Main Street<br>\nSpringfield</p>\n"),
        (Block(kind=BlockKind.FORMULA, latex="a < b"), "<pre>$$\na &lt; b\n$$</pre>\n"),
        (Block(kind=BlockKind.FORMULA, text="a < b"), "<p>a &lt; b</p>\n"),
        (Block(kind=BlockKind.FIGURE, text="A ship"), "<figure>A ship</figure>\n"),
        (Block(kind=BlockKind.FIGURE), ""),
        (Block(kind=BlockKind.CHECK_BOX, text="Yes", checked=True), "<p>☑ Yes</p>\n"),
        (Block(kind=BlockKind.CODE, text="a <b>\n  c"), "<pre><code>a &lt;b&gt;\n  c</code></pre>\n"),
        (Block(kind=BlockKind.PARAGRAPH, text="x", markdown="**x**"), "<p><strong>x</strong></p>\n"),
        (
            Block(kind=BlockKind.TABLE, cells=(Cell(row=0, column=0, text="<i>", row_span=2, header=True),)),
            '<table>\n<tr><th rowspan="2">&lt;i&gt;</th></tr>\n<tr></tr>\n</table>\n',
        ),
    ],
)
def test_every_kind_of_block_has_its_html(block: Block, expected: str) -> None:
    assert blocks_html([block]) == expected


def test_items_that_follow_each_other_are_one_list() -> None:
    recognised = [Block(kind=BlockKind.LIST_ITEM, text=text) for text in ("a", "b")]
    assert blocks_html(recognised) == "<ul>\n<li>a</li>\n<li>b</li>\n</ul>\n"
    counted = [Block(kind=BlockKind.LIST_ITEM, text=text, marker=marker) for text, marker in (("a", "1."), ("b", "•"))]
    assert blocks_html(counted) == "<ul>\n<li>1. a</li>\n<li>b</li>\n</ul>\n"
    written = [Block(kind=BlockKind.LIST_ITEM, text=text, markdown=f"- {text}") for text in ("a", "b")]
    assert blocks_html(written) == "<ul>\n<li>a</li>\n<li>b</li>\n</ul>\n"


def test_running_text_of_a_paragraph_is_not_broken_where_its_lines_ended() -> None:
    text = "a line that is as long as the lines of a running text are\nand a second one that reaches as far as it"
    assert "<br>" not in blocks_html([Block(kind=BlockKind.PARAGRAPH, text=text)])


def test_running_heads_are_left_out_unless_asked_for() -> None:
    page = [Block(kind=BlockKind.PAGE_HEADER, text="Head"), Block(kind=BlockKind.PARAGRAPH, text="Text")]
    assert blocks_html(page) == "<p>Text</p>\n"
    assert blocks_html(page, headers=True) == "<p>Head</p>\n<p>Text</p>\n"


def test_blocks_and_lines_are_named_as_in_the_json_where_that_is_asked_for() -> None:
    corners = ((0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0))

    def lines(*texts: str) -> tuple[Line, ...]:
        return tuple(Line(text=text, box=corners) for text in texts)

    page = [
        Block(kind=BlockKind.PAGE_HEADER, text="Head"),
        Block(kind=BlockKind.TITLE, text="Two\nlines", lines=lines("Two", "lines")),
        Block(kind=BlockKind.PARAGRAPH, text="1 Main Street\nA & B", lines=lines("1 Main Street", "A & B")),
        Block(kind=BlockKind.LIST_ITEM, text="a", marker="1.", lines=lines("1. a")),
        Block(kind=BlockKind.TABLE, cells=(Cell(row=0, column=0, text="x"),)),
        Block(kind=BlockKind.LIST_ITEM, text="b", markdown="- b"),
        Block(kind=BlockKind.LIST_ITEM, text="c", markdown="- c"),
        Block(kind=BlockKind.PARAGRAPH, text="d", markdown="*d*"),
    ]
    assert blocks_html(page, places=True) == (
        '<h1 data-block="b2"><span data-line="0">Two</span> <span data-line="1">lines</span></h1>\n'
        '<p data-block="b3"><span data-line="0">1 Main Street</span><br>\n<span data-line="1">A &amp; B</span></p>\n'
        '<ul>\n<li data-block="b4">1. <span data-line="0">a</span></li>\n</ul>\n'
        '<table data-block="b5">\n<tr><td>x</td></tr>\n</table>\n'
        '<div data-block="b6 b7">\n<ul>\n<li>b</li>\n<li>c</li>\n</ul>\n</div>\n'
        '<div data-block="b8">\n<p><em>d</em></p>\n</div>\n'
    )
    assert "data-" not in blocks_html(page)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hostile", HOSTILE)
def test_places_are_numbers_whatever_the_text(kind: BlockKind, hostile: str) -> None:
    line = Line(text=hostile, box=((0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0)))
    tree = Tree(blocks_html([Block(kind=kind, text=hostile, lines=(line,))], headers=True, places=True))
    for tag, attributes in tree.tags:
        assert tag in ALLOWED_TAGS | {"span"}
        assert {*attributes.items()} <= {("data-block", "b1"), ("data-line", "0")}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hostile", HOSTILE)
def test_recognised_text_is_never_markup(kind: BlockKind, hostile: str) -> None:
    tree = Tree(blocks_html([Block(kind=kind, text=hostile)], headers=True))
    assert [(tag, attributes) for tag, attributes in tree.tags if tag not in ALLOWED_TAGS or attributes] == []
    assert "".join(tree.text.split()).endswith("".join(hostile.replace("\0", "\ufffd").split())) or "\0" in hostile


ALLOWED_TAGS = {"h1", "h2", "p", "br", "ul", "li", "figure", "pre", "code", "table", "tr", "td", "th"}


@given(st.sampled_from(HOSTILE))
def test_what_a_model_wrote_has_only_allowed_tags_and_attributes(hostile: str) -> None:
    tree = Tree(blocks_html([Block(kind=BlockKind.PARAGRAPH, text="x", markdown=hostile)]))
    for tag, attributes in tree.tags:
        assert set(attributes) <= ALLOWED.get(tag, set())
        assert tag not in ("script", "iframe", "object", "form", "style", "svg", "math", "img")
