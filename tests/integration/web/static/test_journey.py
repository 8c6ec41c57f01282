"""What a person does with documents, from the first drop to the last undo, in a real browser over the real services."""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymupdf
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from libs.page.block import Block, BlockKind, Cell, Line
from tests.documents import pdf
from tests.integration.web.static.test_accessibility import faults
from tests.running import ENDED, Running, running
from tests.scripted import Script
from tests.visiting import Visit, visiting

PAGES, UNSURE, FAILS = 12, 3, 5
HOSTILE = "<img src=x onerror=alert(1)>.pdf"
LINES = (
    "Minutes of the harbour board",
    "The board met on the fourth of May and approved the",
    "accounts of the year before, with one abstention.",
    "The dues of the harbour stay as they are.",
)
# Pixels of the page image for a point of the page.
SCALE = 150 / 72
# Reports each number of pages that are shown as read, and how the document stands then.
WATCHED = """
window.appeared = [];
new MutationObserver(() => {
  const read = document.querySelectorAll('.tile[data-state="done"]').length;
  const state = document.querySelector("#job-chip")?.textContent;
  const last = window.appeared.at(-1);
  if (last?.[0] !== read || last?.[1] !== state) window.appeared.push([read, state]);
}).observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
"""
# Never true of a document that has ended before three numbers of pages were shown.
APPEARED = "() => appeared.filter(([read, state]) => read > 0 && /Extracting|Reading/.test(state)).length >= 3"


def top(number: int) -> float:
    """Where a line stands, in points from the top of its page."""
    return 70.0 + 24 * number


def line(number: int) -> Line:
    """A line of the page, where `minutes` prints it."""
    left, right, upper, lower = (SCALE * x for x in (50, 370, top(number) - 13, top(number) + 5))
    return Line(text=LINES[number], box=((left, upper), (right, upper), (right, lower), (left, lower)), confidence=0.98)


def paragraph(*numbers: int, kind: BlockKind = BlockKind.PARAGRAPH) -> Block:
    lines = tuple(line(number) for number in numbers)
    xs, ys = zip(*(corner for one in lines for corner in one.box), strict=True)
    text = "\n".join(one.text for one in lines)
    return Block(kind=kind, text=text, lines=lines, box=(min(xs), min(ys), max(xs), max(ys)))


CELLS = tuple(
    Cell(row=row, column=column, text=text, header=row == 0)
    for row, texts in enumerate([("Year", "Dues"), ("1911", "12,400")])
    for column, text in enumerate(texts)
)
LAID = (
    paragraph(0, kind=BlockKind.TITLE),
    paragraph(1, 2),
    paragraph(3),
    Block(kind=BlockKind.TABLE, cells=CELLS),
    Block(kind=BlockKind.FORMULA, text="a/b", latex=r"\frac{a}{b}"),
)


def minutes(path: Path) -> Path:
    """A document whose pages show these lines."""
    with pymupdf.open() as document:
        for _ in range(PAGES):
            page = document.new_page(width=420, height=595)
            for number, text in enumerate(LINES):
                page.insert_text((50, top(number)), text, fontsize=12)
        document.save(path)
    return path


@pytest.fixture
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """For each journey its own: its downloads name no user, so the list of documents would hold those of another."""
    script = Script(seconds=1.2, fail=(FAILS,), trust={UNSURE: 0.6}, laid=dict.fromkeys(range(1, PAGES + 1), LAID))
    with running(tmp_path_factory.mktemp("journey"), script=script) as found:
        yield found


# What is particular to a phone and to keys, test_reader.py, test_page.py and test_accessibility.py test step by step.
@pytest.fixture(
    params=[
        pytest.param((1280, "light"), id="desktop"),
        pytest.param((390, "dark"), id="phone", marks=pytest.mark.slow),
    ]
)
def traveller(browser: Browser, services: Running, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """A window of this width and these colours, without a user."""
    width, scheme = request.param
    for visit in visiting(browser, services, ""):
        visit.page.set_viewport_size({"width": width, "height": 800})
        visit.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        visit.page.add_init_script(WATCHED)
        yield visit


@pytest.mark.slow
def test_from_three_dropped_files_to_their_end(traveller: Visit, tmp_path: Path) -> None:
    page = traveller.home()
    wide = page.viewport_size is not None and page.viewport_size["width"] > 600
    image = tmp_path / "letter.png"
    with pymupdf.open(pdf(tmp_path / "letter.pdf", 1)) as document:
        document[0].get_pixmap(dpi=72).save(image)
    hostile = pdf(tmp_path / "plain.pdf", 1)
    drop(page, {"minutes.pdf": minutes(tmp_path / "minutes.pdf"), HOSTILE: hostile, "letter.png": image})
    page.locator("#joblist a").filter(has_text="minutes.pdf").first.click()
    job_id = traveller.opened()

    # Pages appear one by one, and each can be read while others are not; a reload loses nothing.
    page.wait_for_function(APPEARED)
    page.locator('.tile[data-state="done"]').first.click()
    expect(page.locator("#rendered")).to_contain_text("Minutes of the harbour board")
    assert traveller.services.status(job_id)["status"] not in ENDED
    page.reload()
    expect(page.locator("#rendered")).to_contain_text("Minutes of the harbour board")
    page.keyboard.press("Escape")
    expect(page.locator("#job-chip")).to_have_text("Partly done")
    expect(page.locator('.tile[data-state="done"]')).to_have_count(PAGES - 2)
    assert faults(page) == []

    search_and_read(traveller, job_id, wide=wide)
    read_again(page, wide=wide)
    expect(page.get_by_role("heading", level=1, name="minutes.pdf")).to_be_visible()
    open_downloads(page, tmp_path)

    page.get_by_role("link", name="All documents").click()
    expect(page.locator(".joblist-name").filter(has_text=HOSTILE)).not_to_have_count(0)
    assert page.locator("img[src=x]").count() == 0
    assert faults(page) == []
    cancel(traveller, tmp_path)
    delete_and_undo(traveller, job_id)


def search_and_read(visit: Visit, job_id: str, *, wide: bool) -> None:
    """Search in the document, go to a match, and compare its lines with the image."""
    page = visit.page
    page.get_by_role("searchbox", name="Search in this document").fill("harbour")
    expect(page.locator("#search-summary")).to_have_text(re.compile(r"^\d+ matches on \d+ pages$"))
    expect(page.locator("#search-results mark").first).to_have_text("harbour")
    assert faults(page) == []
    page.locator("#search-results").get_by_role("link", name="Page 1", exact=True).click()
    if not wide:
        page.get_by_role("button", name="Picture").click()
    expect(page.locator(".place-line.found")).to_have_count(2)
    assert page.evaluate("CSS.highlights.get('found').size") == 2
    texts, places = page.locator("#rendered [data-line]"), page.locator(".place-line")
    if wide:
        texts.nth(1).hover()
        expect(page.locator(".place-line.marked")).to_have_attribute("aria-label", LINES[1])
        places.nth(3).hover()
        expect(page.locator("#rendered [data-line].marked")).to_have_text(LINES[3])
        page.mouse.move(0, 0)
    else:
        places.nth(3).click()
        expect(page.locator("#rendered [data-line].marked")).to_have_text(LINES[3])
    told = page.locator("#provenance dd").filter(has_text="Not compared")
    expect(told).to_have_text("Not compared: there is no second reading of this page.")
    expect(page.locator("#rendered math mfrac")).to_have_count(1)
    expect(page.locator("#rendered th")).to_have_text(["Year", "Dues"])
    assert faults(page) == []
    page.get_by_role("button", name="Markdown").click()
    expect(page.locator("#raw")).to_contain_text("# Minutes of the harbour board")
    assert faults(page) == []
    page.locator("#as-text").click()


def read_again(page: Page, *, wide: bool) -> None:
    """The page is read again at another resolution, and both readings are compared."""
    page.get_by_role("button", name="Read again…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Resolution").fill("100")
    assert faults(page) == []
    dialog.get_by_role("button", name="Read again").click()
    expect(page.locator(".comparison-summary")).to_have_text("The readings differ in 1 place.")
    sides = page.locator(".comparison-sides" if wide else ".comparison-both")
    expect(sides.locator("del")).to_have_text(re.compile("^[0-9a-f]{12}$"))
    expect(sides.locator("ins")).to_have_text(re.compile("^[0-9a-f]{12}$"))
    assert faults(page) == []
    page.keyboard.press("Escape")
    expect(page.locator("#job-chip")).to_have_text("Partly done")


def open_downloads(page: Page, folder: Path) -> None:
    """Each form of the result is what its name says."""
    found = {}
    for ending in ("md", "txt", "html", "pdf", "json", "zip"):
        with page.expect_download() as download:
            page.locator(f"#download-{ending}").click()
        assert download.value.suggested_filename == f"minutes.{ending}"
        found[ending] = download.value.path().read_bytes()
    markdown = found["md"].decode()
    assert re.findall(r"<!-- page (\d+)", markdown) == [str(number) for number in range(1, PAGES + 1)]
    assert markdown.count("# Minutes of the harbour board") == PAGES - 1
    assert f"<!-- page {FAILS} failed: Told to fail. -->" in markdown
    assert found["txt"].decode().split("\f")[FAILS - 1].strip() == f"[page {FAILS} failed: Told to fail.]"
    pages = json.loads(found["json"])["pages"]
    assert [one["status"] for one in pages] == ["failed" if n == FAILS else "completed" for n in range(1, PAGES + 1)]
    assert pages[0]["blocks"][0]["text"] == LINES[0]
    with pymupdf.open(stream=found["pdf"]) as document:
        assert document.page_count == PAGES
        assert "harbour board" in document[0].get_text()
    with zipfile.ZipFile(io.BytesIO(found["zip"])) as archive:
        assert archive.testzip() is None
        assert archive.read("minutes.md").decode() == markdown
        table = next(name for name in archive.namelist() if name.startswith("tables/page_001"))
        assert "1911" in archive.read(table).decode()
    saved = folder / "saved.html"
    saved.write_bytes(found["html"])
    other = page.context.new_page()
    other.goto(saved.as_uri())
    expect(other.locator("section")).to_have_count(PAGES)
    expect(other.locator("#page-1 h1")).to_have_text(LINES[0])
    expect(other.locator("#page-1 th")).to_have_text(["Year", "Dues"])
    other.close()


def cancel(visit: Visit, folder: Path) -> None:
    """A long document is cancelled before its end."""
    page = visit.page
    visit.choose(pdf(folder / "long.pdf", 60))
    visit.opened()
    expect(page.locator('.tile[data-state="done"]')).not_to_have_count(0)
    assert faults(page) == []
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#job-chip")).to_have_text("Cancelled")
    expect(page.get_by_role("button", name=re.compile(r"Read the other \d+ pages"))).to_be_visible()
    assert faults(page) == []


def delete_and_undo(visit: Visit, job_id: str) -> None:
    """A document that was deleted comes back."""
    page = visit.job(job_id)
    page.get_by_role("button", name="Delete").click()
    expect(page.locator("#toast")).to_contain_text("Deleted “minutes.pdf”.")
    expect(page.locator("#joblist li")).not_to_have_count(0)
    expect(page.locator(f"#joblist a[href='#/jobs/{job_id}']")).to_have_count(0)
    assert faults(page) == []
    page.locator("#toast").get_by_role("button", name="Undo").click()
    page.locator(f"#joblist a[href='#/jobs/{job_id}']").click()
    expect(page.locator("#job-chip")).to_have_text("Partly done")


@pytest.mark.slow
def test_the_same_by_keyboard_alone(browser: Browser, services: Running, tmp_path: Path) -> None:
    for visit in visiting(browser, services, "keyboard@example.org"):
        job_id = visit.upload(minutes(tmp_path / "minutes.pdf"))
        # From here on the browser hands its dialog to the test.
        visit.page.on("filechooser", lambda _: None)
        page = visit.home()
        keys = page.keyboard
        tab_to(page, page.get_by_label("Choose files"))
        with page.expect_file_chooser() as chooser:
            keys.press("Enter")
        chooser.value.set_files(pdf(tmp_path / "long.pdf", 60))
        visit.opened()
        expect(page.get_by_role("heading", level=1, name="long.pdf")).to_be_focused()
        expect(page.locator('.tile[data-state="done"]')).not_to_have_count(0)
        tab_to(page, page.get_by_role("button", name="Cancel"))
        keys.press("Enter")
        expect(page.locator("#job-chip")).to_have_text("Cancelled")
        tab_to(page, page.get_by_role("link", name="All documents"))
        keys.press("Enter")
        tab_to(page, page.locator("#joblist a").filter(has_text="minutes.pdf"))
        keys.press("Enter")
        expect(page.get_by_role("heading", level=1, name="minutes.pdf")).to_be_focused()

        tab_to(page, page.get_by_role("searchbox", name="Search in this document"))
        keys.type("harbour")
        expect(page.locator("#search-summary")).to_contain_text("matches")
        tab_to(page, page.locator("#search-results").get_by_role("link", name="Page 1", exact=True))
        keys.press("Enter")
        expect(page.get_by_role("heading", level=1, name=f"Page 1 of {PAGES}")).to_be_focused()
        tab_to(page, page.locator("#rendered [data-line]").first)
        expect(page.locator(".place-line.marked")).to_have_attribute("aria-label", LINES[0])
        keys.press("ArrowDown")
        expect(page.locator(".place-line.marked")).to_have_attribute("aria-label", LINES[1])
        keys.press("ArrowRight")
        expect(page.get_by_role("heading", level=1, name=f"Page 2 of {PAGES}")).to_be_visible()
        tab_to(page, page.get_by_role("button", name="Markdown"))
        keys.press("Enter")
        expect(page.locator("#raw")).to_contain_text("# Minutes")
        keys.press("Escape")
        expect(page.get_by_role("heading", level=1, name="minutes.pdf")).to_be_focused()

        tab_to(page, page.get_by_role("link", name="Download Markdown"))
        tab_to(page, page.get_by_role("button", name="Delete"))
        keys.press("Enter")
        expect(page.locator("#toast")).to_be_visible()
        tab_to(page, page.locator("#toast").get_by_role("button", name="Undo"))
        keys.press("Enter")
        tab_to(page, page.locator("#joblist a").filter(has_text="minutes.pdf"))
        keys.press("Enter")
        expect(page.locator("#job-chip")).to_have_text("Partly done")
        assert page.url.endswith(job_id)


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until the target has the focus, which has to be seen."""
    target.wait_for()
    for _ in range(80):
        page.keyboard.press("Tab")
        if target.evaluate("node => node === document.activeElement"):
            assert target.evaluate(OUTLINED), "the focus is not shown"
            return
    raise AssertionError(f"no Tab leads to {target}")


# The file input is transparent: its label has the outline. An SVG line and a line of text are marked.
OUTLINED = """
node => node.matches("#file, [data-line]") ||
    [getComputedStyle(node).outlineStyle, getComputedStyle(node).boxShadow].some(value => value !== "none")
"""


def drop(page: Page, files: dict[str, Path]) -> None:
    """Drop files of these names at once."""
    contents: list[Any] = [[name, list(path.read_bytes())] for name, path in files.items()]
    transfer = page.evaluate_handle(
        """files => {
            const transfer = new DataTransfer();
            for (const [name, bytes] of files) transfer.items.add(new File([new Uint8Array(bytes)], name));
            return transfer;
        }""",
        contents,
    )
    page.dispatch_event("#dropzone", "dragenter", {"dataTransfer": transfer})
    expect(page.get_by_text("Let go to start reading")).to_be_visible()
    page.dispatch_event("#dropzone", "drop", {"dataTransfer": transfer})
