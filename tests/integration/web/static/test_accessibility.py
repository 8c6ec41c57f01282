"""axe-core finds nothing serious or critical on any view, in light and in dark, wide and narrow."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests import ROOT
from tests.documents import encrypted, pdf
from tests.running import Running, running
from tests.scripted import Script
from tests.visiting import Visit

AXE = (ROOT / "tests" / "vendor" / "axe.min.js").read_text()
FAILS, UNSURE = 2, 3


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("axe"), script=Script(fail=(FAILS,), trust={UNSURE: 0.6})) as found:
        yield found


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (1280, "light"),
        (390, "dark"),
        pytest.param(1280, "dark", marks=pytest.mark.slow),
        pytest.param(390, "light", marks=pytest.mark.slow),
    ],
)
def test_no_view_has_a_serious_fault(visit: Visit, tmp_path: Path, width: int, scheme: Any) -> None:
    page = visit.page
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    job_id = visit.upload(pdf(tmp_path / "several.pdf", 3))
    visit.upload(pdf(tmp_path / "other.pdf", 1))

    broken = tmp_path / "broken.pdf"
    broken.write_text("Dear Sir or Madam")
    visit.home()
    visit.choose(broken)
    expect(page.get_by_role("alert").filter(has_text="Unsupported file")).to_be_visible()
    expect(page.locator("#joblist a")).not_to_have_count(0)
    page.get_by_text("Options", exact=True).click()
    page.get_by_role("button", name="Select").click()
    assert faults(page) == []

    visit.job(job_id)
    page.get_by_role("searchbox", name="Search in this document").fill("page")
    expect(page.locator("#search-results li")).to_have_count(2)
    assert faults(page) == []

    visit.job(job_id, UNSURE)
    expect(page.locator("#doubt")).to_be_visible()
    if width < 600:
        page.get_by_role("button", name="Picture").click()
    expect(page.locator(".place-line")).to_have_count(1)
    assert faults(page) == []
    if width < 600:
        page.locator("#tab-text").click()
        assert faults(page) == []
        page.get_by_role("button", name="Picture").click()

    visit.job(job_id, FAILS)
    expect(page.get_by_role("alert")).to_contain_text("This page could not be read")
    assert faults(page) == []

    visit.job(job_id, 1)
    expect(page.locator("#rendered")).to_be_visible()
    page.get_by_role("button", name="Read again…").click()
    page.get_by_role("dialog").get_by_label("Resolution").fill("100")
    assert faults(page) == []
    page.get_by_role("dialog").get_by_role("button", name="Read again").click()
    if width < 600:
        page.locator("#tab-text").click()
    expect(page.locator(".comparison-summary")).to_have_text("The readings differ in 1 place.")
    assert faults(page) == []

    visit.home()
    visit.choose(encrypted(tmp_path / "locked.pdf", pdf(tmp_path / "open.pdf", 1), password="secret"))
    expect(page.get_by_role("form", name="This document is protected by a password")).to_be_visible()
    assert faults(page) == []

    visit.job(job_id)
    page.get_by_role("button", name="Delete").click()
    expect(page.locator("#toast")).to_be_visible()
    assert faults(page) == []
    visit.job("0" * 32)
    expect(page.get_by_role("heading", level=1, name="This document is not here.")).to_be_visible()
    assert faults(page) == []


def faults(page: Page) -> list[str]:
    """The rules that axe finds broken, and where."""
    # As a value that is evaluated, which the page's policy does not concern.
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{rule['id']}: {', '.join(str(node['target']) for node in rule['nodes'][:3])}"
        for rule in found["violations"]
        if rule["impact"] in ("serious", "critical")
    ]
