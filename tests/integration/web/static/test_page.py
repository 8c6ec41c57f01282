"""The web page in a real browser, over the real services."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.documents import pdf
from tests.running import Running, running
from tests.scripted import Script
from tests.visiting import Visit, visiting

FAILS, BLANK = 4, 2
SURE, UNSURE, STOOD_IN = 11, 12, 13


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    script = Script(seconds=0.2, fail=(FAILS,), blank=(BLANK,), trust={SURE: 0.97, UNSURE: 0.62}, stand_in=(STOOD_IN,))
    with running(tmp_path_factory.mktemp("page"), script=script) as found:
        yield found


def test_a_chosen_file_is_read_and_every_page_shows_its_state(visit: Visit, tmp_path: Path) -> None:
    page = visit.home()
    visit.choose(pdf(tmp_path / "minutes.pdf", 5))
    visit.opened()

    expect(page.get_by_role("heading", level=1, name="minutes.pdf")).to_be_visible()
    expect(page.locator("#job-chip")).to_have_text("Partly done")
    words = page.locator(".tile-word")
    expect(words).to_have_text(["Done", "Blank", "Done", "Failed", "Done"])
    expect(page.locator("#progress")).to_contain_text("Read 4 of 5 pages.")
    expect(page.locator("#failures")).to_contain_text("Told to fail.")
    shown = page.locator(".tile-sheet img").first
    # A thumbnail: the page image itself is 875 pixels wide.
    page.wait_for_function("image => image.complete && image.naturalWidth === 300", arg=shown.element_handle())


def test_extraction_and_reading_are_told_apart_while_the_job_runs(visit: Visit, tmp_path: Path) -> None:
    page = visit.home()
    visit.choose(pdf(tmp_path / "long.pdf", 40))
    visit.opened()

    bar = page.get_by_role("progressbar", name="Progress")
    expect(bar).to_have_attribute("aria-valuetext", re.compile(r"40 of 40 pages extracted, [1-9]\d* read"))
    expect(page.locator("#count-extracted")).to_have_text("40 of 40")
    expect(page.locator("#count-read")).to_have_text(re.compile(r"^[1-9]\d* of 40$"))
    assert page.evaluate(
        "document.querySelector('#bar-read').style.width !== document.querySelector('#bar-extracted').style.width"
    )
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#job-chip")).to_have_text("Cancelled")
    expect(page.locator('.tile[data-state="unread"]').first).to_be_attached()
    expect(page.locator('.tile[data-state="reading"]')).to_have_count(0)
    expect(page.get_by_role("button", name=re.compile(r"Read the other \d+ pages"))).to_be_visible()
    expect(page.get_by_role("link", name="Download Markdown")).to_be_visible()


def test_unchanged_status_costs_a_304_and_polling_ends_with_the_job(visit: Visit, tmp_path: Path) -> None:
    page = visit.home()
    page.clock.install()
    visit.choose(pdf(tmp_path / "polled.pdf", 3))
    visit.opened()
    expect(page.locator("#job-chip")).to_have_text("Done")

    visit.asked.clear()
    page.clock.run_for(120_000)
    # Requests are told in order, so after this one every earlier one is known.
    page.evaluate("fetch('/version').then(answer => answer.text())")
    assert visit.asked == [f"{visit.services.url}/version"]
    assert [r.request.headers.get("if-none-match") is None for r in visit.statuses].count(True) == 1
    assert {r.status for r in visit.statuses} <= {200, 304}


def test_a_dropped_file_is_read_with_the_options_given(visit: Visit, tmp_path: Path) -> None:
    page = visit.home()
    page.get_by_text("Options", exact=True).click()
    page.get_by_role("textbox", name="Pages").fill("1, 3-")
    page.locator("#options").get_by_label("Resolution").fill("100")
    page.locator("#options").get_by_label("Recognition").select_option("Every page")
    page.locator("#options").get_by_label("Languages").fill("en, de")
    data = page.evaluate_handle(
        """bytes => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], "dropped.pdf", {type: "application/pdf"}));
            return transfer;
        }""",
        list(pdf(tmp_path / "any.pdf", 3).read_bytes()),
    )
    page.dispatch_event("#dropzone", "dragenter", {"dataTransfer": data})
    expect(page.get_by_text("Let go to start reading")).to_be_visible()
    page.dispatch_event("#dropzone", "drop", {"dataTransfer": data})

    job = visit.services.status(visit.opened(), user=visit.user)
    expect(page.locator("#job-chip")).to_have_text("Done")
    expect(page.locator(".tile-number")).to_have_text(["Page 1", "Page 3"])
    expect(page.locator("#job-meta")).to_contain_text("2 of 3 pages")
    assert job["options"].items() >= {"pages": "1,3-", "dpi": 100, "engine": None, "ocr": "force"}.items()
    assert job["options"]["languages"] == ["eng", "deu"]


def test_a_page_is_shown_beside_its_text_and_the_keys_turn_pages(visit: Visit, tmp_path: Path) -> None:
    job_id = visit.upload(pdf(tmp_path / "turned.pdf", 3))
    page = visit.job(job_id)
    page.get_by_role("link", name=re.compile("^Page 1 .*Done$")).click()

    text = page.locator("#rendered")
    expect(text).to_have_text(re.compile(r"Page 1 [0-9a-f]{12}"))
    expect(page.get_by_role("img", name="Image of page 1")).to_be_visible()
    expect(page.locator("#provenance")).to_contain_text("scripted")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", level=1, name="Page 2 of 3")).to_be_visible()
    expect(page.locator("#reader-state")).to_have_text("Nothing is printed on this page.")
    page.keyboard.press("ArrowRight")
    expect(text).to_have_text(re.compile("Page 3"))
    page.reload()
    expect(text).to_have_text(re.compile("Page 3"))
    expect(page.get_by_label("Next page")).to_have_attribute("aria-disabled", "true")
    # At once, so that the second comes before the browser has acted on the first.
    page.evaluate(
        """() => ["ArrowRight", "ArrowLeft", "ArrowLeft"].forEach(key =>
            document.body.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true})))"""
    )
    expect(text).to_have_text(re.compile("Page 1"))
    entries = page.evaluate("history.length")
    page.keyboard.press("Escape")
    expect(page.locator(".tile")).to_have_count(3)
    assert page.evaluate("history.length") == entries


def test_a_page_that_should_be_compared_with_its_image_says_so(visit: Visit, tmp_path: Path) -> None:
    job_id = visit.upload(pdf(tmp_path / "trusted.pdf", 13), pages="11-13")
    page = visit.job(job_id)
    expect(page.locator(".tile-word")).to_have_text(["Done", "Check", "Done"])
    expect(page.locator("#job-warnings")).to_have_text("Compare 1 page with the image: see “Check” below.")

    doubt, provenance = page.locator("#doubt"), page.locator("#provenance")
    visit.job(job_id, SURE)
    expect(provenance).to_contain_text("97% of the words agree")
    expect(doubt).to_be_hidden()
    visit.job(job_id, UNSURE)
    expect(doubt).to_contain_text("Trust 62%")
    expect(doubt).to_contain_text("Compare it with the image.")
    visit.job(job_id, STOOD_IN)
    expect(provenance).to_contain_text("by spare")
    expect(doubt).to_have_text("Read by another engine, spare. The engine scripted repeated itself.")
    visit.job(job_id, SURE)
    expect(doubt).to_be_hidden()


def test_the_markdown_of_a_page_can_be_seen_and_copied(visit: Visit, tmp_path: Path) -> None:
    job_id = visit.upload(pdf(tmp_path / "copied.pdf", 1))
    page = visit.job(job_id, 1)
    page.get_by_role("button", name="Markdown").click()
    raw = page.locator("#raw")

    expect(raw).to_be_visible()
    expect(page.locator("#rendered")).to_be_hidden()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == raw.text_content()


def test_the_combined_result_downloads_under_the_documents_name(anonymous: Visit, tmp_path: Path) -> None:
    job_id = anonymous.upload(pdf(tmp_path / "Board minutes.pdf", 2))
    page = anonymous.job(job_id)
    forms = {
        "Markdown": "md",
        "Text": "txt",
        "HTML": "html",
        "Searchable PDF": "pdf",
        "JSON": "json",
        "All as ZIP": "zip",
    }
    for label, ending in forms.items():
        with page.expect_download() as download:
            page.get_by_role("link", name=f"Download {label}").click()
        assert download.value.suggested_filename == f"Board minutes.{ending}"
        expected = anonymous.services.get(f"/api/jobs/{job_id}/result?format={ending}").content
        assert download.value.path().read_bytes() == expected


def test_a_file_that_is_no_document_is_refused_with_what_to_do_next(visit: Visit, tmp_path: Path) -> None:
    page = visit.home()
    path = tmp_path / "letter.pdf"
    path.write_text("Dear Sir or Madam")
    visit.choose(path)

    problem = page.get_by_role("alert").filter(has_text="Unsupported file")
    expect(problem).to_contain_text("neither a PDF nor a supported image")
    expect(problem).to_contain_text("Supported: PDF")
    problem.get_by_role("button", name="Dismiss").click()
    expect(problem).to_have_count(0)


def test_a_page_range_that_makes_no_sense_is_said_before_anything_is_sent(visit: Visit, tmp_path: Path) -> None:
    page = visit.home()
    page.get_by_text("Options", exact=True).click()
    page.get_by_role("textbox", name="Pages").fill("three")
    visit.choose(pdf(tmp_path / "unsent.pdf", 1))

    expect(page.locator("#pages-error")).to_contain_text("Write page numbers and ranges")
    expect(page.get_by_role("textbox", name="Pages")).to_be_focused()
    assert httpx.get(f"{visit.services.url}/api/jobs", headers={"X-User-Email": visit.user}).json()["jobs"] == []


def test_a_document_that_cannot_be_opened_says_why(visit: Visit, tmp_path: Path) -> None:
    page = visit.home()
    path = tmp_path / "broken.pdf"
    path.write_bytes(b"%PDF-1.7\nnothing follows")
    visit.choose(path)
    job_id = visit.opened()

    expect(page.locator("#job-chip")).to_have_text("Failed")
    expect(page.get_by_role("alert")).to_contain_text("This document could not be opened")
    reason = visit.services.status(job_id, user=visit.user)["error"]
    expect(page.get_by_role("alert")).to_contain_text(reason)
    page.get_by_role("link", name="Upload another document").click()
    expect(page.locator(".joblist-reason")).to_have_text(reason)


def test_only_pages_to_check_or_failed_ones_are_shown_on_request(visit: Visit, tmp_path: Path) -> None:
    page = visit.job(visit.upload(pdf(tmp_path / "sorted.pdf", 13)))
    shown = page.locator(".tile:visible .tile-number")
    expect(shown).to_have_count(13)
    page.get_by_role("button", name="To check 1").click()
    expect(shown).to_have_text([f"Page {UNSURE}"])
    page.get_by_role("button", name="Failed 1").click()
    expect(shown).to_have_text([f"Page {FAILS}"])
    page.get_by_role("button", name="All pages").click()
    expect(shown).to_have_count(13)


def test_a_hostile_file_name_is_shown_as_text(visit: Visit, tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>&amp;.pdf"
    path = pdf(tmp_path / "plain.pdf", 1)
    with path.open("rb") as file:
        answer = httpx.post(
            f"{visit.services.url}/upload", files={"file": (name, file)}, headers={"X-User-Email": visit.user}
        )
    page = visit.job(answer.json()["job_id"])

    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    expect(page.locator("#job-chip")).to_have_text("Done")
    page.get_by_role("link", name="All documents").click()
    expect(page.locator(".joblist-name")).to_have_text(name)
    assert page.locator("img[src=x]").count() == 0


def test_everything_can_be_reached_by_keyboard(visit: Visit, tmp_path: Path) -> None:
    job_id = visit.upload(pdf(tmp_path / "keys.pdf", 2))
    page = visit.home()
    expect(page.locator("#joblist a")).to_have_count(1)
    seen = []
    for _ in range(6):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.innerText.split('\\n')[0]"))
    assert seen == ["Skip to content", "Gnosis OCR", "API", "file", "Options", "keys.pdf"]

    page.locator("#joblist a").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1, name="keys.pdf")).to_be_focused()
    page.get_by_role("link", name="Page 2 Blank").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(f"{job_id}/pages/2$"))
    expect(page.get_by_role("heading", level=1, name="Page 2 of 2")).to_be_focused()


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_at_any_width(visit: Visit, tmp_path: Path, width: int, scheme: Any) -> None:
    job_id = visit.upload(pdf(tmp_path / f"{'a-very-long-name-' * 8}.pdf", FAILS))
    page = visit.page
    page.set_viewport_size({"width": width, "height": 740})
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    for open_view, ready in (
        (visit.home, "#joblist a"),
        (lambda: visit.job(job_id), ".tile"),
        (lambda: visit.job(job_id, 1), "#rendered p"),
        (lambda: visit.job(job_id, FAILS), "#reader-state .problem"),
        (lambda: page.goto(f"{visit.services.url}/docs"), ".operation"),
    ):
        open_view()
        page.locator(ready).first.wait_for()
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, ready


def test_the_page_says_that_files_stay_here_in_local_mode(visit: Visit) -> None:
    expect(visit.home().locator("#colophon")).to_contain_text("Your files stay on this machine.")


def test_failed_pages_are_read_again_on_retry(browser: Browser, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    with running(tmp_path, script=Script(fail=(2, 3))) as services:
        for visit in visiting(browser, services, ""):
            job_id = visit.upload(pdf(tmp_path / "retried.pdf", 3))
            services.kill("worker")
            services.start("worker", SCRIPT="{}")
            services.wait_ready()
            page = visit.job(job_id, 2)
            page.get_by_role("button", name="Retry this page").click()
            expect(page.locator("#rendered")).to_have_text(re.compile("Page 2"))
            page.get_by_role("link", name="retried.pdf").click()
            expect(page.locator(".tile-word")).to_have_text(["Done", "Done", "Failed"])
            page.get_by_role("button", name="Retry 1 failed page").click()
            expect(page.locator("#job-chip")).to_have_text("Done")
            expect(page.locator("#failures")).to_be_hidden()


@pytest.mark.slow
def test_a_lost_connection_is_said_calmly_and_the_page_recovers(browser: Browser, tmp_path: Path) -> None:
    with running(tmp_path, script=Script(seconds=0.8)) as services:
        for visit in visiting(browser, services, ""):
            page = visit.home()
            visit.choose(pdf(tmp_path / "interrupted.pdf", 12))
            visit.opened()
            expect(page.locator("#count-read")).to_have_text(re.compile("^[1-9]"))
            services.kill("web")
            trouble = page.locator("#job-trouble")
            expect(trouble).to_have_text("Connection lost. Trying again…")
            expect(page.locator(".tile")).to_have_count(12)
            services.start("web")
            expect(trouble).to_be_hidden()
            expect(page.locator("#job-chip")).to_have_text("Done")
