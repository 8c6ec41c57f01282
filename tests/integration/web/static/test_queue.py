"""Several files at once in a real browser: three uploads at a time, and a full service is waited for."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from tests.documents import pdf
from tests.running import Running, running
from tests.scripted import Script
from tests.visiting import Visit

ACTIVE = 4


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(
        tmp_path_factory.mktemp("queue"), script=Script(seconds=0.5), ACTIVE_JOBS_PER_USER=str(ACTIVE)
    ) as found:
        yield found


def test_files_above_the_limit_wait_and_go_on_by_themselves(visit: Visit, tmp_path: Path) -> None:
    page = visit.home()
    page.clock.install()
    refused: list[str] = []
    page.on("response", lambda answer: refused.append(answer.url) if answer.status == 429 else None)
    files = [pdf(tmp_path / f"{number}.pdf", 2) for number in range(9)]
    visit.choose(*files)
    expect(page.locator(".upload-note").filter(has_text="Too many documents at once. Goes on in")).not_to_have_count(0)
    names = page.locator(".joblist-name")

    def all_listed() -> bool:
        page.clock.run_for(1000)
        assert page.locator(".upload .problem").count() == 0
        return names.count() == len(files)

    visit.services.until(all_listed, "the uploads")
    expect(page.locator(".upload")).to_have_count(0)
    assert refused, "the limit was never met"
    assert sorted(names.all_text_contents()) == [path.name for path in files]


def test_three_files_are_sent_at_once_and_a_waiting_one_can_be_stopped(visit: Visit, tmp_path: Path) -> None:
    page = visit.home()
    held: list[Route] = []
    page.route("**/upload", lambda route: held.append(route))
    visit.choose(*[pdf(tmp_path / f"{number}.pdf", 1) for number in range(5)])
    expect(page.locator(".upload")).to_have_count(5)
    while len(held) < 3:
        page.wait_for_timeout(20)
    expect(page.locator(".upload-note").filter(has_text="waiting")).to_have_count(2)
    page.locator(".upload").filter(has_text="4.pdf").get_by_role("button", name="Stop").click()
    expect(page.locator(".upload")).to_have_count(4)
    assert len(held) == 3
    held[0].abort()
    while len(held) < 4:
        page.wait_for_timeout(20)
    expect(page.get_by_role("alert")).to_contain_text("The service cannot be reached")
    for route in held[1:]:
        route.continue_()
    page.unroute("**/upload")
    expect(page.locator(".upload")).to_have_count(1)
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".upload")).to_have_count(0)
