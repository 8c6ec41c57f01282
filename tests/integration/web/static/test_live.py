"""The view of a document in a real browser: each page by an event, and by polling where there is no stream."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, Route, expect

from tests.documents import pdf
from tests.running import Running, running
from tests.scripted import Script
from tests.visiting import Visit, visiting

PAGES = 8
# Pages of a job that goes on for long enough to be cancelled.
MANY = 60
# Keeps every stream that the page opens, with the events of each.
WATCHED = """
window.streams = [];
window.EventSource = class extends EventSource {
  sent = [];
  constructor(url) {
    super(url);
    streams.push(this);
    for (const name of ["job", "page", "done"])
      this.addEventListener(name, (event) => this.sent.push([name, JSON.parse(event.data).page_no ?? null]));
  }
};
"""


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("live"), script=Script(seconds=0.3)) as found:
        yield found


@pytest.fixture
def watched(visit: Visit) -> Visit:
    """A window that keeps the events of its streams."""
    visit.page.add_init_script(WATCHED)
    return visit


@pytest.fixture
def running_job(watched: Visit, tmp_path: Path) -> Iterator[Visit]:
    """A window on a job that goes on until it is cancelled."""
    watched.home()
    watched.choose(pdf(tmp_path / "long.pdf", MANY))
    job_id = watched.opened()
    yield watched
    cancel(watched, job_id)


def test_a_page_is_shown_when_it_is_saved_before_the_record_says_so(watched: Visit, tmp_path: Path) -> None:
    page = watched.home()
    watched.choose(pdf(tmp_path / "live.pdf", PAGES))
    watched.opened()
    expect(page.locator('.tile:is([data-state="rendered"], [data-state="reading"])')).not_to_have_count(0)
    page.wait_for_function("() => streams.length === 1 && streams[0].readyState === 1")
    held: list[Route] = []
    page.route("**/status", lambda route: held.append(route))

    expect(page.locator(".tile-word")).to_have_text(["Done"] * PAGES)
    page.wait_for_function("() => streams[0].sent.at(-1)[0] === 'done'")
    expect(page.locator("#job-chip")).to_have_text("Reading")
    assert sorted(sent(page)) == list(range(1, PAGES + 1))

    for route in held:
        route.continue_()
    page.unroute("**/status")
    expect(page.locator("#job-chip")).to_have_text("Done")
    assert page.evaluate("streams.map(stream => stream.readyState)") == [2]


def test_the_text_of_a_page_is_shown_in_the_reader_when_it_is_saved(watched: Visit, tmp_path: Path) -> None:
    page = watched.home()
    watched.choose(pdf(tmp_path / "live.pdf", PAGES))
    job_id = watched.opened()
    expect(page.locator(".tile")).to_have_count(PAGES)
    page.route("**/status", lambda route: None)
    watched.job(job_id, PAGES)
    expect(page.locator("#rendered")).to_have_text(re.compile(f"Page {PAGES} [0-9a-f]{{12}}"))


@pytest.mark.slow
def test_after_web_was_killed_no_page_is_missing_and_none_comes_twice(browser: Browser, tmp_path: Path) -> None:
    with running(tmp_path, script=Script(seconds=0.4)) as services:
        for visit in visiting(browser, services, ""):
            page = visit.page
            page.add_init_script(WATCHED)
            asked = requests(page, "/events")
            visit.home()
            visit.choose(pdf(tmp_path / "killed.pdf", 30))
            visit.opened()
            page.wait_for_function("() => streams[0]?.sent.filter(([name]) => name === 'page').length >= 3")
            services.kill("web")
            expect(page.locator("#job-trouble")).to_have_text("Connection lost. Trying again…")
            services.start("web")
            expect(page.locator("#job-trouble")).to_be_hidden()
            expect(page.locator("#job-chip")).to_have_text("Done")
            expect(page.locator('.tile[data-state="done"]')).to_have_count(30)

            numbers = sent(page)
            assert len(numbers) == len(set(numbers)), "a page came twice"
            assert asked[0].all_headers().get("last-event-id") is None
            assert asked[-1].all_headers().get("last-event-id"), "the stream began anew"


def test_a_window_that_is_not_seen_has_no_stream(running_job: Visit) -> None:
    page = running_job.page
    page.wait_for_function("() => streams.length === 1 && streams[0].readyState === 1")
    see(page, hidden=True)
    assert page.evaluate("streams.map(stream => stream.readyState)") == [2]
    see(page, hidden=False)
    page.wait_for_function("() => streams.length === 2 && streams[1].readyState === 1")
    page.wait_for_function("() => streams[1].sent.some(([name]) => name === 'page')")


def test_a_document_that_is_left_has_no_stream(running_job: Visit) -> None:
    page = running_job.page
    page.wait_for_function("() => streams.length === 1 && streams[0].readyState === 1")
    page.get_by_role("link", name="All documents").click()
    expect(page.locator("#joblist a")).to_have_count(1)
    assert page.evaluate("streams.map(stream => stream.readyState)") == [2]


def test_a_document_that_has_ended_has_no_stream(watched: Visit, tmp_path: Path) -> None:
    page = watched.job(watched.upload(pdf(tmp_path / "ended.pdf", 1)))
    expect(page.locator("#job-chip")).to_have_text("Done")
    assert page.evaluate("streams.length") == 0


@pytest.mark.parametrize("answer", ["refused", "silent"])
def test_without_a_stream_the_record_is_polled(watched: Visit, tmp_path: Path, answer: str) -> None:
    page = watched.page
    page.clock.install()
    attempts = broken_events(page, lambda route: route.fulfill(status=404) if answer == "refused" else None)
    watched.home()
    watched.choose(pdf(tmp_path / "polled.pdf", 3))
    watched.opened()
    expect(page.locator("#job-chip")).to_have_text("Done")
    expect(page.locator(".tile-word")).to_have_text(["Done"] * 3)
    assert attempts


def test_a_refused_stream_is_tried_a_few_times_and_then_left_alone(watched: Visit, tmp_path: Path) -> None:
    page = watched.page
    page.clock.install()
    attempts = broken_events(page, lambda route: route.fulfill(status=502))
    watched.home()
    watched.choose(pdf(tmp_path / "long.pdf", MANY))
    job_id = watched.opened()

    def given_up() -> bool:
        page.clock.run_for(1000)
        return len(attempts) == 4

    watched.services.until(given_up, "four attempts")
    page.clock.run_for(60_000)
    # Requests are reported in order, so after this one every earlier one is known.
    page.evaluate("fetch('/version').then(answer => answer.text())")
    assert len(attempts) == 4
    cancel(watched, job_id)


def cancel(visit: Visit, job_id: str) -> None:
    visit.services.client.post(f"{visit.services.url}/api/jobs/{job_id}/cancel", headers={"X-User-Email": visit.user})


def broken_events(page: Page, act: Callable[[Route], object]) -> list[str]:
    """Every attempt to open a stream, each of which meets `act`."""
    attempts: list[str] = []

    def meet(route: Route) -> None:
        attempts.append(route.request.url)
        act(route)

    page.route("**/events", meet)
    return attempts


def requests(page: Page, ending: str) -> list[Request]:
    """The requests of the page from now on for addresses with this ending."""
    found: list[Request] = []
    page.on("request", lambda request: found.append(request) if request.url.endswith(ending) else None)
    return found


def sent(page: Page) -> list[int]:
    """The numbers of the pages that any stream has sent."""
    found: list[int] = page.evaluate(
        "streams.flatMap(stream => stream.sent).filter(([name]) => name === 'page').map(([, number]) => number)"
    )
    return found


def see(page: Page, *, hidden: bool) -> None:
    """The window is covered, or seen again."""
    page.evaluate(
        """hidden => {
            Object.defineProperty(document, "hidden", {configurable: true, get: () => hidden});
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )
