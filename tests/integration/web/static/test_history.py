"""The list of documents in a real browser: searched and filtered by the service, deletions and their undo."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Route, expect

from tests.documents import pdf
from tests.running import Running, running
from tests.scripted import Script
from tests.visiting import Visit, visiting

FAILS = 2
COLLECTOR = "collector@example.org"


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("history"), script=Script(fail=(FAILS,))) as found:
        yield found


@pytest.fixture(scope="module")
def many(browser: Browser, services: Running, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The ids of a user's documents, the oldest first: two more than are listed at once."""
    folder = tmp_path_factory.mktemp("many")
    oldest, path = pdf(folder / "the oldest.pdf", 1), pdf(folder / "one.pdf", 1)
    for visit in visiting(browser, services, COLLECTOR):
        # Of a user's jobs at most 20 may be active.
        ids = [*visit.upload_all([oldest, *[path] * 10]), *visit.upload_all([path] * 11)]
    return ids


@pytest.fixture
def collector(browser: Browser, services: Running, many: list[str]) -> Iterator[Visit]:
    """A window of the user who has many documents."""
    yield from visiting(browser, services, COLLECTOR)


@pytest.mark.slow
def test_past_documents_are_listed_and_more_can_be_shown(collector: Visit, many: list[str]) -> None:
    page = collector.home()
    rows = page.locator("#joblist a")

    expect(rows).to_have_count(20)
    expect(rows.first).to_have_attribute("href", f"#/jobs/{many[-1]}")
    expect(rows.first).to_contain_text("1 page")
    page.get_by_role("button", name="Show more").click()
    expect(rows).to_have_count(22)
    expect(page.get_by_role("button", name="Show more")).to_be_hidden()
    rows.last.click()
    expect(page.locator("#job-chip")).to_have_text("Done")
    assert page.url.endswith(many[0])


def test_a_deleted_document_comes_back_on_undo_and_is_gone_when_the_notice_ends(visit: Visit, tmp_path: Path) -> None:
    job_id = visit.upload(pdf(tmp_path / "unwanted.pdf", 1))
    page = visit.job(job_id)
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", level=1, name="Turn documents into text.")).to_be_visible()
    toast = page.locator("#toast")
    expect(toast).to_contain_text("Deleted “unwanted.pdf”.")
    expect(page.locator("#joblist li")).to_have_count(0)
    toast.get_by_role("button", name="Undo").click()
    expect(page.locator("#joblist li")).to_have_count(1)
    assert visit.services.status(job_id, user=visit.user)["status"] == "completed"

    visit.job(job_id)
    page.get_by_role("button", name="Delete").click()
    toast.get_by_role("button", name="Close").click()
    visit.services.until(lambda: gone(visit, job_id), "the deletion")
    expect(page.locator("#joblist li")).to_have_count(0)
    visit.job(job_id)
    expect(page.get_by_role("heading", level=1, name="This document is not here.")).to_be_visible()


def test_a_deletion_is_sent_when_the_page_is_left_before_the_notice_ends(anonymous: Visit, tmp_path: Path) -> None:
    job_id = anonymous.upload(pdf(tmp_path / "left.pdf", 1))
    page = anonymous.job(job_id)
    page.get_by_role("button", name="Delete").click()
    expect(page.locator("#toast")).to_be_visible()
    assert not gone(anonymous, job_id)
    page.goto(f"{anonymous.services.url}/docs")
    anonymous.services.until(lambda: gone(anonymous, job_id), "the deletion")


def test_documents_are_found_by_name_and_state_and_deleted_together(visit: Visit, tmp_path: Path) -> None:
    whole, broken = pdf(tmp_path / "minutes.pdf", 1), pdf(tmp_path / "letters.pdf", FAILS)
    ids = visit.upload_all([whole, broken, whole])
    page = visit.home()
    names = page.locator(".joblist-name")
    expect(names).to_have_text(["minutes.pdf", "letters.pdf", "minutes.pdf"])
    page.get_by_role("searchbox", name="Search documents by name").fill("LETT")
    expect(names).to_have_text(["letters.pdf"])
    page.get_by_role("searchbox", name="Search documents by name").fill("nothing of this name")
    expect(page.locator("#history-none")).to_have_text("No document matches.")
    page.get_by_role("searchbox", name="Search documents by name").fill("")
    page.get_by_label("Show documents").select_option("Done")
    expect(names).to_have_text(["minutes.pdf", "minutes.pdf"])

    page.get_by_role("button", name="Select").click()
    page.get_by_label("All that are shown").check()
    page.get_by_role("button", name="Delete 2 documents").click()
    expect(page.locator("#toast")).to_contain_text("Deleted 2 documents.")
    page.get_by_label("Show documents").select_option("All")
    expect(names).to_have_text(["letters.pdf"])
    page.locator("#toast").get_by_role("button", name="Close").click()
    visit.services.until(lambda: gone(visit, ids[0]) and gone(visit, ids[2]), "the deletions")


@pytest.mark.slow
def test_a_search_goes_through_documents_that_are_not_listed_yet(collector: Visit) -> None:
    page = collector.home()
    expect(page.locator(".joblist-name")).to_have_count(20)
    page.get_by_role("searchbox", name="Search documents by name").fill("oldest")
    expect(page.locator(".joblist-name")).to_have_text(["the oldest.pdf"])


def test_a_search_goes_on_where_another_one_was_under_way(visit: Visit) -> None:
    page = visit.page
    held: list[Route] = []

    def answer(route: Route) -> None:
        query = parse_qs(urlsplit(route.request.url).query)
        words = query.get("q", [""])[0]
        if "cursor" in query and words == "first":
            held.append(route)
        elif "cursor" in query:
            route.fulfill(json={"jobs": [listed("found.pdf")], "next_cursor": None})
        elif words:
            route.fulfill(json={"jobs": [], "next_cursor": "further"})
        else:
            route.fulfill(json={"jobs": [listed("b.pdf"), listed("a.pdf")], "next_cursor": None})

    page.route("**/api/jobs?*", answer)
    visit.home()
    search = page.get_by_role("searchbox", name="Search documents by name")
    search.fill("first")
    while not held:
        page.wait_for_timeout(20)
    with page.expect_response(re.compile("q=second")):
        search.fill("second")
    # So that the page has this answer before the other one.
    page.evaluate("fetch('/version').then(answer => answer.text())")
    held[0].fulfill(json={"jobs": [], "next_cursor": "further"})
    expect(page.locator(".joblist-name")).to_have_text(["found.pdf"])


def listed(name: str) -> dict[str, Any]:
    """A document that has ended, as the service lists it."""
    about = {"filename": name, "total_pages": 1}
    created = "2026-01-01T00:00:00Z"
    return {"job_id": name.encode().hex(), "status": "completed", "created_at": created, "file_info": about}


def gone(visit: Visit, job_id: str) -> bool:
    address = f"{visit.services.url}/api/jobs/{job_id}/status"
    return httpx.get(address, headers={"X-User-Email": visit.user} if visit.user else {}).status_code == 404
