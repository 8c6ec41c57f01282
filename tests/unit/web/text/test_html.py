"""Page Markdown to HTML: faithful to the page, and harmless whatever was printed on it."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.web.text.html import ATTRIBUTES, MAX_SPAN, TAGS, sanitise, to_html
from tests.attacks import ATTACKS, HOSTILE

ALLOWED = {tag: set(names) for tag, names in ATTRIBUTES.items()} | {"a": {"href", "rel", "target"}}


class Tree(HTMLParser):
    """What a browser would find: tags with attributes, text, and everything that is neither."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.others: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.others.append(data)

    def handle_decl(self, decl: str) -> None:
        self.others.append(decl)

    def handle_pi(self, data: str) -> None:
        self.others.append(data)

    def unknown_decl(self, data: str) -> None:
        self.others.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def assert_harmless(tree: Tree) -> None:
    assert tree.others == []
    for tag, attributes in tree.tags:
        assert tag in TAGS
        assert attributes.keys() <= ALLOWED.get(tag, set())
        if "href" in attributes:
            assert re.match(r"(?i)(https?://|mailto:)", attributes["href"] or "")
            assert attributes["rel"] == "noopener noreferrer nofollow"
        for name in ("colspan", "rowspan"):
            assert 0 < int(attributes.get(name) or 1) <= MAX_SPAN


@pytest.mark.parametrize("markdown", ATTACKS)
def test_hostile_text_comes_out_harmless(markdown: str) -> None:
    assert_harmless(Tree(to_html(markdown)))


@pytest.mark.parametrize("html", ATTACKS)
def test_hostile_html_comes_out_harmless_without_the_help_of_markdown(html: str) -> None:
    assert_harmless(Tree(sanitise(html)))


PIECES = st.sampled_from(
    [
        *HOSTILE,
        *"<>&\"'`*_#$|[]()!:/\\-=~",
        *("<table>", "<tr>", "<td>", "</td>", "</table>", "<img>", "</img>", "<figure>", "</p>", "<p>", "<!--", "-->"),
        *(
            "\n",
            "\n\n",
            "    ",
            "\t",
            "> ",
            "1. ",
            "- ",
            "\x00",
            "&#106;",
            "&lt;script&gt;",
            "href=",
            "onerror=",
            "alert(1)",
        ),
    ]
)


@given(st.lists(PIECES | st.text(max_size=12), max_size=30).map("".join))
def test_any_text_comes_out_harmless(markdown: str) -> None:
    assert_harmless(Tree(to_html(markdown)))
    assert_harmless(Tree(sanitise(markdown)))


def test_a_tag_that_no_model_writes_is_shown_as_the_text_it_is() -> None:
    tree = Tree(to_html("Dear <John>, see <script>alert(1)</script> and <!-- this --> in vector<int>."))

    assert tree.text.strip() == "Dear <John>, see <script>alert(1)</script> and <!-- this --> in vector<int>."
    assert [tag for tag, _ in tree.tags] == ["p"]


def test_an_html_table_keeps_its_cells_and_spans() -> None:
    tree = Tree(
        to_html(
            "<table><thead><tr><th colspan=2>Year</th></tr></thead>"
            "<tbody><tr><td rowspan=3>1911</td><td>12 &amp; 3</td></tr></tbody></table>"
        )
    )

    assert tree.named("th") == [{"colspan": "2"}]
    assert tree.named("td") == [{"rowspan": "3"}, {}]
    assert tree.text == "Year191112 & 3"


def test_a_span_no_table_can_have_is_dropped() -> None:
    tree = Tree(to_html("<table><tr><td colspan=1000>a</td><td colspan=1001>b</td><td colspan=0>c</td></tr></table>"))

    assert tree.named("td") == [{"colspan": "1000"}, {}, {}]


def test_a_markdown_table_keeps_its_alignment() -> None:
    tree = Tree(to_html("| item | price |\n|:----:|------:|\n| tea  | 2.40  |"))

    assert [cell["align"] for cell in tree.named("th")] == ["center", "right"]
    assert [cell["align"] for cell in tree.named("td")] == ["center", "right"]


def test_an_image_description_becomes_a_figure() -> None:
    html = to_html("Before\n\n<img>A map of the <b>harbour</b> & its piers</img>\n\nAfter")

    assert "<figure>A map of the <b>harbour</b> &amp; its piers</figure>" in html
    assert [tag for tag, _ in Tree(html).tags] == ["p", "figure", "b", "p"]


@pytest.mark.parametrize(
    "markdown", ['<img alt="a seal" src="seal.png">', "<img alt='a seal'/>", "![a seal](https://x.example/seal.png)"]
)
def test_a_picture_is_never_fetched_but_its_description_is_shown(markdown: str) -> None:
    tree = Tree(to_html(markdown))

    assert tree.named("img") == []
    assert len(tree.named("figure")) == 1
    assert tree.text.strip() == "a seal"


def test_watermark_page_number_and_page_break_are_kept() -> None:
    tree = Tree(to_html("<watermark>DRAFT</watermark>\n\n<page-break>\n\n<page_number>3/22</page_number>"))

    assert [tag for tag, _ in tree.tags] == ["p", "watermark", "hr", "p", "page_number"]
    assert tree.text.split() == ["DRAFT", "3/22"]


@pytest.mark.parametrize(
    "formula",
    [
        r"$a_1 * b_1 * c_1 < d$",
        r"$\{x \mid x_i \& y_i\}$",
        r"\(a_1 * b_1 * c\)",
        r"\[\sum_{i} *x_i* \]",
        r"$$\frac{a}{b} \\ *c*$$",
        "$$\n\\begin{aligned}\n- a &= b \\\\\n# c\n=====\n\\end{aligned}\n$$",
        "\\[\n1. x\n\\]",
    ],
)
def test_latex_stays_as_it_is_written(formula: str) -> None:
    tree = Tree(to_html(f"so\n\n{formula}\n\nholds"))

    assert tree.text.split() == ["so", *formula.split(), "holds"]
    assert {tag for tag, _ in tree.tags} <= {"p", "pre", "br"}


def test_prices_are_not_taken_for_formulas() -> None:
    tree = Tree(to_html("from $5 to *only* $10 a piece"))

    assert len(tree.named("em")) == 1
    assert tree.text.strip() == "from $5 to only $10 a piece"


def test_check_boxes_and_line_breaks_stay() -> None:
    tree = Tree(to_html("☐ open\n☑ done"))

    assert len(tree.named("br")) == 1
    assert tree.text.split() == ["☐", "open", "☑", "done"]


def test_lines_of_running_text_flow_together_and_its_last_line_ends_the_flow() -> None:
    tree = Tree(
        to_html(
            "The harbour board met on the fourth of May and\n"
            "approved the accounts of the year before, with\n"
            "one abstention.\n"
            "The next meeting is to be held in the new hall\n"
            "of the **pilots' guild**, on the second of June."
        )
    )

    assert len(tree.named("br")) == 1
    assert "fourth of May and\napproved" in tree.text


@pytest.mark.parametrize(
    "lines",
    [
        ["Coffee and a bun 2.40", "Tea and a scone 12.40", "Sum 14.80"],
        [
            "1.1 The harbour and its approaches from the north .... 5",
            "1.2 The harbour and its approaches from the south .... 9",
        ],
        ["Harbour Board", "4 Quay Street", "Northport"],
    ],
)
def test_lines_that_stand_for_themselves_keep_their_breaks(lines: list[str]) -> None:
    tree = Tree(to_html("\n".join(lines)))

    assert len(tree.named("br")) == len(lines) - 1


def test_layout_of_a_scan_is_not_taken_for_markup() -> None:
    tree = Tree(to_html("Subtotal  4.20\n--------------\n    TOTAL 4.20\n\n[1]: see the annex"))

    assert [tag for tag, _ in tree.tags] == ["p", "hr", "p", "p"]
    assert "[1]: see the annex" in tree.text


def test_links_lead_to_the_web_and_to_mail_only() -> None:
    tree = Tree(to_html("<https://a.example/b?c=1&d> <me@a.example> [ftp](ftp://a.example) [top](#main)"))

    assert [link.get("href") for link in tree.named("a")] == [
        "https://a.example/b?c=1&d",
        "mailto:me@a.example",
        None,
        None,
    ]


def test_a_list_goes_on_where_the_page_before_ended() -> None:
    assert Tree(to_html("7. seventh\n8. eighth")).named("ol") == [{"start": "7"}]


@given(st.lists(st.text("abcdefghijklmnopqrstuvwxyzäöü0123456789", min_size=1), min_size=1, max_size=40))
def test_plain_words_are_never_lost(words: list[str]) -> None:
    assert Tree(to_html(" ".join(words))).text.split() == words


@pytest.mark.parametrize("length", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "piece",
    ["<b>", "<table>", "<img ", "<img>", "$", "$$\n", r"\(", "\\[\n", "[", "![", "<", "> ", "*a_", "<p><figure>"],
)
def test_a_page_made_to_be_slow_is_rendered_all_the_same(piece: str, length: int) -> None:
    assert_harmless(Tree(to_html(piece * (length // len(piece)))))
