"""The reader in a real browser: the image and the text of a page, marked on each other; search; formulas."""

from collections.abc import Iterator
from pathlib import Path

import pymupdf
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.attacks import HOSTILE
from tests.documents import pdf
from tests.running import Running, running
from tests.scripted import Script
from tests.visiting import Visit

LINES = ("The first line of a paragraph that goes on", "with a second line and ends here.", "Another paragraph.")
FORMULAS, MONEY, WRITTEN, PRINTED = 1, 2, 3, 4
SCRIPT = Script(
    written={
        FORMULAS: "Before\n\n$$\n\\frac{a}{b} + \\sqrt{2}\n$$\n\n$$\n\\undefinedcommand{\n$$\n\nAfter",
        MONEY: "It costs $5 and not $10 a piece.",
        WRITTEN: "\n\n".join(HOSTILE),
    },
    printed={PRINTED: " ".join(HOSTILE)},
)


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The real engine, which takes the text of these documents from the documents themselves."""
    with running(tmp_path_factory.mktemp("reader")) as found:
        yield found


@pytest.fixture
def printed(tmp_path: Path) -> Path:
    """Two pages with text of their own: three lines in two paragraphs on the first."""
    path = tmp_path / "printed.pdf"
    with pymupdf.open() as document:
        page = document.new_page(width=400, height=600)
        for at, line in zip((80, 96, 150), LINES, strict=True):
            page.insert_text((40, at), line, fontsize=12)
        document.new_page(width=400, height=600).insert_text((40, 80), "The second page has another line.", fontsize=12)
        document.save(path)
    return path


def test_a_line_is_marked_on_the_image_and_in_the_text_whichever_is_pointed_at(visit: Visit, printed: Path) -> None:
    page = visit.job(visit.upload(printed), 1)
    texts, places = page.locator("#rendered [data-line]"), page.locator(".place-line")
    expect(places).to_have_count(3)
    expect(texts).to_have_text(list(LINES))
    texts.nth(1).hover()
    expect(marked(page, ".place-line")).to_have_attribute("aria-label", LINES[1])
    places.nth(2).hover()
    expect(marked(page, "#rendered [data-line]")).to_have_text(LINES[2])
    page.mouse.move(0, 0)
    expect(marked(page, "#reader *")).to_have_count(0)
    on_image, image = bounds(places.nth(2)), bounds(page.locator(".scan-drawing image"))
    # 150 of 600 points from the top; the line stands on that height.
    assert pytest.approx((on_image["y"] + on_image["height"] - image["y"]) / image["height"], abs=0.02) == 150 / 600


def test_lines_are_reached_by_keyboard_on_both_sides(visit: Visit, printed: Path) -> None:
    page = visit.job(visit.upload(printed), 1)
    expect(page.locator(".place-line")).to_have_count(3)
    page.get_by_role("link", name="Open image").focus()
    page.keyboard.press("Tab")
    expect(marked(page, "#rendered [data-line]")).to_have_text(LINES[0])
    page.keyboard.press("ArrowDown")
    expect(marked(page, "#rendered [data-line]")).to_have_text(LINES[1])
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(marked(page, ".place-line")).to_have_attribute("aria-label", LINES[0])
    page.keyboard.press("End")
    expect(marked(page, ".place-line")).to_have_attribute("aria-label", LINES[2])
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", level=1, name="Page 2 of 2")).to_be_visible()
    expect(page.locator("#rendered")).to_have_text("The second page has another line.")


def test_the_image_is_made_larger_turned_and_whole_again(visit: Visit, printed: Path) -> None:
    page = visit.job(visit.upload(printed), 1)
    image = page.locator(".scan-drawing image")
    expect(page.locator(".place-line")).to_have_count(3)
    whole = bounds(image)
    assert whole["width"] / whole["height"] == pytest.approx(400 / 600, abs=0.01)
    page.get_by_role("button", name="Larger").click()
    page.wait_for_function(
        "([node, width]) => node.getBoundingClientRect().width > 1.2 * width",
        arg=[image.element_handle(), whole["width"]],
    )
    page.get_by_role("button", name="Fit").click()
    page.wait_for_function(
        "([node, width]) => Math.abs(node.getBoundingClientRect().width - width) < 1",
        arg=[image.element_handle(), whole["width"]],
    )
    page.keyboard.press("r")
    turned = bounds(image)
    assert turned["width"] / turned["height"] == pytest.approx(600 / 400, abs=0.01)
    first = bounds(page.locator(".place-line").first)
    assert first["height"] > first["width"], "the lines turn with the image"


def test_words_are_found_in_the_whole_document_and_marked_on_both_sides(visit: Visit, printed: Path) -> None:
    page = visit.job(visit.upload(printed))
    page.get_by_role("searchbox", name="Search in this document").fill("a SECOND   line")
    expect(page.locator("#search-summary")).to_have_text("1 match on 1 page")
    page.get_by_role("searchbox", name="Search in this document").fill("line")
    expect(page.locator("#search-summary")).to_have_text("3 matches on 2 pages")
    expect(page.locator("#search-results mark")).to_have_text(["line"] * 3)
    page.get_by_role("searchbox", name="Search in this document").fill("no such words")
    expect(page.locator("#search-summary")).to_have_text("“no such words” was not found.")
    page.get_by_role("searchbox", name="Search in this document").fill("line")
    page.locator("#search-results").get_by_role("link", name="Page 1").click()
    expect(page.locator(".place-line.found")).to_have_count(2)
    assert page.evaluate("CSS.highlights.get('found').size") == 2
    page.keyboard.press("ArrowRight")
    expect(page.locator(".place-line.found")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator("#search-results li")).to_have_count(2)


def test_where_a_page_comes_from_is_told_in_words(visit: Visit, printed: Path) -> None:
    page = visit.job(visit.upload(printed), 1)
    expect(page.locator("#provenance")).to_contain_text("The document's own text, without recognition")
    expect(page.locator("#provenance")).to_contain_text("at 150 DPI")


def test_on_a_phone_the_text_and_the_image_are_tabs(visit: Visit, printed: Path) -> None:
    visit.page.set_viewport_size({"width": 390, "height": 800})
    page = visit.job(visit.upload(printed), 1)
    expect(page.locator("#rendered")).to_be_visible()
    expect(page.locator("#scan")).to_be_hidden()
    page.get_by_role("button", name="Picture").click()
    expect(page.locator(".scan-drawing")).to_be_visible()
    expect(page.locator("#rendered")).to_be_hidden()
    page.locator(".place-line").nth(1).click()
    expect(marked(page, "#rendered [data-line]")).to_have_text(LINES[1])
    expect(page.locator("#rendered")).to_be_visible()


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("scripted"), script=SCRIPT) as found:
        yield found


@pytest.fixture
def hostile(visit: Visit, scripted: Running, tmp_path: Path) -> Visit:
    """A window over a service whose engine writes formulas and attacks."""
    visit.services = scripted
    visit.ours = (scripted.url,)
    return visit


def test_formulas_are_shown_as_mathml_and_what_is_none_stays(hostile: Visit, tmp_path: Path) -> None:
    job_id = hostile.upload(pdf(tmp_path / "formulas.pdf", 2))
    page = hostile.job(job_id, FORMULAS)
    expect(page.locator("#rendered math mfrac")).to_have_count(1)
    expect(page.locator("#rendered math msqrt")).to_have_count(1)
    expect(page.locator("#rendered pre")).to_contain_text("undefinedcommand")
    hostile.job(job_id, MONEY)
    expect(page.locator("#rendered")).to_have_text("It costs $5 and not $10 a piece.")
    expect(page.locator("#rendered math")).to_have_count(0)


def test_nothing_of_a_hostile_text_runs_or_is_fetched_in_any_view(hostile: Visit, tmp_path: Path) -> None:
    job_id = hostile.upload(pdf(tmp_path / "hostile.pdf", 4))
    page = hostile.page
    for number in (WRITTEN, PRINTED):
        hostile.job(job_id, number)
        expect(page.locator("#rendered")).to_contain_text("alert(1)")
        page.get_by_role("button", name="Markdown").click()
        expect(page.locator("#raw")).to_contain_text("alert(1)")
        page.get_by_role("button", name="Text", exact=True).first.click()
        assert (
            page.locator("#reader :is(script, iframe, object, embed, form, base, style, [onerror], [onload])").count()
            == 0
        )
    hostile.job(job_id)
    page.get_by_role("searchbox", name="Search in this document").fill("alert(1)")
    expect(page.locator("#search-results li")).to_have_count(2)
    assert page.locator("#search-results :is(script, iframe, img, svg)").count() == 0
    # What the fixture asserts: no script ran, no dialog opened, nothing came from elsewhere.


def marked(page: Page, selector: str) -> Locator:
    return page.locator(f"{selector}.marked")


def bounds(locator: Locator) -> dict[str, float]:
    found: dict[str, float] = locator.evaluate("node => node.getBoundingClientRect().toJSON()")
    return found
