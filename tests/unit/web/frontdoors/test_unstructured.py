"""Elements of Unstructured of our pages: every word once, parents that come before, and numbers of parts."""

from typing import Any

import msgspec
import pytest
from hypothesis import given

from libs.page.block import Block, BlockKind
from services.web.frontdoors.unstructured.elements import Asked, Element, ElementType, Outline, page_elements
from services.web.outputs.page import PageDocument
from tests.unit.web.frontdoors.documents import (
    DOCUMENT,
    EVERY_KIND,
    blocks,
    by_model,
    failed,
    markdown,
    page,
    words_of,
)

ASKED = Asked(filename="a.pdf", filetype="application/pdf")
MARKS = frozenset("☐☑")


def elements(*pages: PageDocument, **asked: Any) -> list[Element]:
    found: list[Element] = []
    outline: Outline = ()
    for each in pages:
        of_page, outline = page_elements(each, msgspec.structs.replace(ASKED, **asked), outline)
        found += of_page
    return found


def words_in(found: list[Element]) -> list[str]:
    return sorted(word for each in found for word in each.text.split())


def without_marks(found: list[Element]) -> list[Element]:
    """The elements without the boxes of check boxes."""
    return [
        msgspec.structs.replace(each, text=each.text[2:])
        if each.type is ElementType.LIST_ITEM and each.text[0] in MARKS
        else each
        for each in found
    ]


@given(blocks=blocks)
def test_each_word_is_there_once(blocks: list[Block]) -> None:
    blocks = [block for block in blocks if not MARKS & set(block.text[:1])]
    assert words_in(without_marks(elements(page(*blocks)))) == words_of(blocks, latex=True)


@given(text=markdown)
def test_each_word_of_a_model_is_there_once(text: str) -> None:
    document = by_model(text)
    boxes = sum(block.kind is BlockKind.CHECK_BOX for block in document.blocks)
    expected = words_of(document.blocks, latex=True)
    assert len(words_in(elements(document))) == len(expected) + boxes


@given(blocks=blocks)
def test_ids_are_unique_and_parents_are_titles_that_come_before(blocks: list[Block]) -> None:
    found = elements(page(*blocks), failed(), page(*blocks, page_no=3), page_breaks=True)
    seen: dict[str, Element] = {}
    for each in found:
        assert each.element_id not in seen
        parent = each.metadata.parent_id
        assert parent is None or seen[parent].type is ElementType.TITLE
        seen[each.element_id] = each
    assert elements(page(*blocks)) == elements(page(*blocks))


def test_elements_have_types_and_stand_below_their_headings() -> None:
    found = elements(EVERY_KIND)
    names = {each.element_id: each.text for each in found}
    shown = [(str(each.type), each.text, names.get(each.metadata.parent_id or "")) for each in found]
    assert shown[:6] == [
        ("Header", "ACME & sons", None),
        ("Title", "Annual\nreport", None),
        ("Title", "Results", "Annual\nreport"),
        ("NarrativeText", "Sales have transformed\n2 * 3 * 4 <b>", "Results"),
        ("ListItem", "one\ntwo", "Results"),
        ("ListItem", "below", "Results"),
    ]
    assert [kind for kind, _, _ in shown[7:]] == [
        "Table", "FigureCaption", "ListItem", "ListItem", "Formula", "CodeSnippet", "Image", "FigureCaption",
        "NarrativeText", "PageNumber",
    ]  # fmt: skip


def test_table_is_html_too() -> None:
    (found,) = [each for each in elements(EVERY_KIND) if each.type is ElementType.TABLE]
    assert found.text == "Year & sum 2025 7 <USD>\nnet 9"
    assert found.metadata.text_as_html is not None
    assert found.metadata.text_as_html.startswith('<table>\n<tr><th colspan="2">Year &amp; sum</th></tr>')


def test_places_are_there_where_they_are_asked_for() -> None:
    block = Block(kind=BlockKind.PARAGRAPH, text="a", box=(1, 2, 30, 40))
    (without,) = elements(page(block))
    assert without.metadata.coordinates is None
    (found,) = elements(page(block), coordinates=True)
    assert msgspec.to_builtins(found.metadata.coordinates) == {
        "points": ((1, 2), (1, 40), (30, 40), (30, 2)),
        "layout_width": 1275,
        "layout_height": 1650,
        "system": "PixelSpace",
    }


def test_pages_of_a_part_are_counted_as_in_the_whole_document() -> None:
    found = elements(*DOCUMENT, first_page=21, page_breaks=True)
    breaks = [each.metadata.page_number for each in found if each.type is ElementType.PAGE_BREAK]
    assert breaks == [22, 23, 24]
    (said,) = [each for each in found if each.type is ElementType.UNCATEGORIZED]
    assert (said.text, said.metadata.page_number) == ("[page 2 failed: It is torn-- ask for a new one.]", 22)
    assert {each.element_id for each in elements(EVERY_KIND)}.isdisjoint(each.element_id for each in found)


@pytest.mark.parametrize("level", [1, 2, 5])
def test_a_heading_ends_those_that_are_not_above_it(level: int) -> None:
    title = Block(kind=BlockKind.TITLE, text="title", level=1)
    heads = [Block(kind=BlockKind.HEADING, text=text, level=level) for text in ("first", "second")]
    found = elements(page(title, *heads, Block(kind=BlockKind.PARAGRAPH, text="below")))
    parents = [each.metadata.parent_id for each in found]
    assert parents == [None, found[0].element_id, found[0].element_id, found[2].element_id]
