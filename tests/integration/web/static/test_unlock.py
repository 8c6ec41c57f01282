"""Encrypted documents in a real browser: the password is asked for, and the file uploaded again with it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.documents import encrypted, large_pdf, pdf
from tests.running import Running, running
from tests.scripted import Script
from tests.visiting import Visit

PASSWORD = "Käse & “Brot”"


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("unlock"), script=Script()) as found:
        yield found


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    """A PDF of two pages that only the password opens."""
    return encrypted(tmp_path / "locked.pdf", pdf(tmp_path / "plain.pdf", 2), password=PASSWORD)


def test_the_password_is_asked_for_until_it_opens_the_document(visit: Visit, locked: Path) -> None:
    page = visit.home()
    visit.choose(locked)
    first = visit.opened()
    form = unlocking(page, "This document is protected by a password")
    expect(form.get_by_label("Choose the file again")).to_have_count(0)
    give(form, "wrong")
    form = unlocking(page, "The password did not open this document")
    give(form, PASSWORD)

    expect(page.locator("#job-chip")).to_have_text("Done")
    expect(page.locator(".tile-word")).to_have_text(["Done", "Done"])
    assert visit.opened() != first
    page.get_by_role("link", name="All documents").click()
    expect(page.locator(".joblist-name")).to_have_text(["locked.pdf"])
    expect(page.locator("#joblist .chip")).to_have_text(["Done"])


def test_after_a_reload_the_file_is_chosen_again(visit: Visit, locked: Path) -> None:
    page = visit.home()
    visit.choose(locked)
    visit.opened()
    unlocking(page, "This document is protected by a password")
    page.reload()
    form = unlocking(page, "This document is protected by a password")
    form.get_by_label("Choose the file again").set_input_files(locked)
    give(form, PASSWORD)
    expect(page.locator("#job-chip")).to_have_text("Done")


def test_a_password_given_before_the_upload_opens_the_document_with_the_other_options(
    visit: Visit, locked: Path
) -> None:
    page = visit.home()
    page.get_by_text("Options", exact=True).click()
    page.get_by_role("textbox", name="Pages").fill("2")
    page.get_by_label("Password").fill(PASSWORD)
    visit.choose(locked)
    job_id = visit.opened()
    expect(page.locator("#job-chip")).to_have_text("Done")
    expect(page.locator(".tile-number")).to_have_text(["Page 2"])
    page.get_by_role("link", name="All documents").click()
    expect(page.get_by_label("Password")).to_have_value("")
    assert PASSWORD not in visit.services.get(f"/api/jobs/{job_id}/status", **{"X-User-Email": visit.user}).text


def test_a_password_that_was_sent_is_not_kept_for_another_attempt(visit: Visit, locked: Path) -> None:
    page = visit.home()
    page.get_by_text("Options", exact=True).click()
    page.get_by_label("Password").fill("wrong")
    visit.choose(locked)
    job_id = visit.opened()
    form = unlocking(page, "The password did not open this document")
    kept = "async id => (await import('/static/uploads/kept.js')).keptFile(id).options"
    assert "wrong" not in page.evaluate(kept, job_id).values()

    page.route("**/upload", lambda route: None)
    give(form, PASSWORD)
    expect(page.locator(".upload")).to_have_count(1)
    fields = "[...document.querySelectorAll('input[type=password]')].map(field => field.value)"
    assert page.evaluate(fields) == ["", ""]


def test_what_the_window_keeps_of_a_large_upload_is_not_its_password(visit: Visit, tmp_path: Path) -> None:
    page = visit.home()
    page.get_by_text("Options", exact=True).click()
    page.get_by_label("Password").fill(PASSWORD)
    visit.choose(encrypted(tmp_path / "locked.pdf", large_pdf(tmp_path / "large.pdf"), password=PASSWORD))
    expect(page.locator(".upload-note")).to_contain_text(" sent")
    assert page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 0]
    visit.opened()
    expect(page.locator("#job-chip")).to_have_text("Done")


def unlocking(page: Page, title: str) -> Locator:
    """The form that asks for the password."""
    form = page.get_by_role("form", name=title)
    expect(form).to_be_visible()
    return form


def give(form: Locator, password: str) -> None:
    form.get_by_label("Password").fill(password)
    form.get_by_role("button", name="Open the document").click()
