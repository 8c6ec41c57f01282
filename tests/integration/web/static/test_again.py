"""One page read again in a real browser, and its two readings compared."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.attacks import HOSTILE
from tests.documents import pdf
from tests.running import Running, running
from tests.scripted import Script
from tests.visiting import Visit, visiting

# What the scripted engine reads holds a digest of the page image, so it is another text at another resolution.
READ = re.compile(r"Page 1 [0-9a-f]{12}")
WRITTEN = 2


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    script = Script(written={WRITTEN: "\n\n".join(HOSTILE)})
    with running(tmp_path_factory.mktemp("again"), script=script) as found:
        yield found


def test_a_page_read_again_is_compared_with_its_reading_before(visit: Visit, tmp_path: Path) -> None:
    page = visit.job(visit.upload(pdf(tmp_path / "again.pdf", 2)), 1)
    text, comparison = page.locator("#rendered"), page.locator("#comparison")
    expect(text).to_have_text(READ)
    expect(page.locator("#readings")).to_be_hidden()
    before = text.inner_text()
    read_again(page, dpi="100")

    expect(comparison.locator(".comparison-summary")).to_have_text("The readings differ in 1 place.")
    after = comparison.locator(".comparison-sides ins").inner_text()
    expect(comparison.locator(".comparison-sides del")).to_have_text(before.split()[-1])
    assert before.split()[-1] != after
    expect(comparison.get_by_role("region", name="Earlier")).to_contain_text("scripted, 150 DPI")
    expect(comparison.get_by_role("region", name="Latest")).to_contain_text("scripted, 100 DPI")
    # Not by colour alone.
    assert decoration(comparison.locator(".comparison-sides del")) == "line-through"
    assert decoration(comparison.locator(".comparison-sides ins")) == "underline"

    reading(page, "Earlier").click()
    expect(text).to_have_text(before)
    expect(page.locator("#scan-link")).to_have_attribute("href", re.compile(r"/page_001\.png$"))
    reading(page, "Latest").click()
    expect(text).to_have_text(f"Page 1 {after}")
    expect(page.locator("#scan-link")).to_have_attribute("href", re.compile(r"/page_001_100dpi\.png$"))

    page.reload()
    expect(text).to_have_text(f"Page 1 {after}")
    reading(page, "Compare").click()
    expect(comparison.locator(".comparison-sides del")).to_have_text(before.split()[-1])
    page.keyboard.press("ArrowRight")
    expect(page.locator("#readings")).to_be_hidden()


@pytest.mark.slow
def test_each_of_several_earlier_readings_can_be_chosen(visit: Visit, tmp_path: Path) -> None:
    page = visit.job(visit.upload(pdf(tmp_path / "several.pdf", 1)), 1)
    text = page.locator("#rendered")
    expect(text).to_have_text(READ)
    first = text.inner_text()
    read_again(page, dpi="100")
    expect(page.locator(".comparison-summary")).to_have_text("The readings differ in 1 place.")
    read_again(page, dpi="200")
    expect(page.get_by_role("region", name="Latest")).to_contain_text("200 DPI")
    expect(page.get_by_role("region", name="Earlier")).to_contain_text("100 DPI")
    page.get_by_label("Earlier reading").select_option("2 readings before")
    expect(page.get_by_role("region", name="Earlier")).to_contain_text("150 DPI")
    reading(page, "Earlier").click()
    expect(text).to_have_text(first)


@pytest.mark.slow
def test_the_reading_before_stays_until_the_new_one_is_there(browser: Browser, tmp_path: Path) -> None:
    with running(tmp_path, script=Script()) as services:
        for visit in visiting(browser, services, ""):
            page = visit.job(visit.upload(pdf(tmp_path / "kept.pdf", 1)), 1)
            text = page.locator("#rendered")
            expect(text).to_have_text(READ)
            before = text.inner_text()
            services.kill("worker")
            read_again(page, dpi="100")
            expect(page.locator("#reader-state")).to_have_text("This page waits its turn to be read again.")
            expect(text).to_have_text(before)
            expect(page.get_by_role("button", name="Read again…")).to_be_disabled()
            page.reload()
            expect(text).to_have_text(before)
            services.start("worker")
            expect(text).to_have_text(READ)
            expect(text).not_to_have_text(before)
            expect(page.locator("#reader-state")).to_be_hidden()


def test_the_dialog_refuses_what_the_service_would_and_closes_by_key(visit: Visit, tmp_path: Path) -> None:
    page = visit.job(visit.upload(pdf(tmp_path / "asked.pdf", 1)), 1)
    expect(page.locator("#rendered")).to_have_text(READ)
    page.get_by_role("button", name="Read again…").click()
    dialog = page.get_by_role("dialog", name="Read page 1 again")
    expect(dialog.get_by_label("Engine").locator("option")).to_contain_text(["As before (scripted)", "rapidocr"])
    dialog.get_by_label("Resolution").fill("20")
    dialog.get_by_role("button", name="Read again").click()
    expect(dialog.get_by_role("alert")).to_have_text("Write a whole number from 72 to 400.")
    expect(dialog.get_by_label("Resolution")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator("#rendered")).to_be_visible()
    assert not any(url.endswith("/retry") for url in visit.asked)


def test_a_fault_of_the_service_is_said_in_the_dialog(visit: Visit, tmp_path: Path) -> None:
    job_id = visit.upload(pdf(tmp_path / "gone.pdf", 1))
    page = visit.job(job_id, 1)
    expect(page.locator("#rendered")).to_have_text(READ)
    page.route("**/retry", lambda route: route.fulfill(status=503, body="busy"))
    read_again(page, dpi="100")
    expect(page.get_by_role("dialog").get_by_role("alert")).to_have_text("HTTP status 503.")


def test_the_comparison_of_hostile_texts_shows_them_as_text(visit: Visit, tmp_path: Path) -> None:
    page = visit.job(visit.upload(pdf(tmp_path / "hostile.pdf", WRITTEN)), WRITTEN)
    expect(page.locator("#rendered")).to_contain_text("alert(1)")
    read_again(page, dpi="100")
    expect(page.locator(".comparison-summary")).to_have_text("The readings are the same, word for word.")
    page.get_by_role("button", name="Markdown").click()
    expect(page.locator("#comparison .comparison-sides")).to_contain_text("<script")
    assert page.locator("#comparison :is(script, iframe, object, embed, img, svg, form, style)").count() == 0
    # What the fixture asserts: no script ran, no dialog opened, nothing came from elsewhere.


def test_on_a_phone_both_readings_are_one_text(visit: Visit, tmp_path: Path) -> None:
    visit.page.set_viewport_size({"width": 390, "height": 800})
    page = visit.job(visit.upload(pdf(tmp_path / "phone.pdf", 1)), 1)
    expect(page.locator("#rendered")).to_have_text(READ)
    before = page.locator("#rendered").inner_text().split()[-1]
    read_again(page, dpi="100")
    both = page.get_by_role("region", name="Both readings")
    expect(both.locator("del")).to_have_text(before)
    expect(both.locator("ins")).to_be_visible()
    expect(page.locator(".comparison-sides")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0


def read_again(page: Page, *, dpi: str) -> None:
    page.get_by_role("button", name="Read again…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Resolution").fill(dpi)
    dialog.get_by_role("button", name="Read again").click()


def reading(page: Page, name: str) -> Locator:
    return page.locator("#readings").get_by_role("button", name=name)


def decoration(locator: Locator) -> str:
    found: str = locator.evaluate("node => getComputedStyle(node).textDecorationLine")
    return found
