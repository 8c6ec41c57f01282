"""Attacks in everything that a document, its name or an error may say: nothing runs, and nothing is fetched.

They meet the page, and the HTML output, without the content security policy of the service: what would run is taken out
or shown as text before the policy has anything to refuse. In a second run the policy stands, and has nothing to report.
"""

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, Route, expect

from tests.attacking import PAGES, failing
from tests.attacks import ATTACKS, PARTS
from tests.documents import pdf
from tests.running import Running, running

# Reports what ran, and what the policy has stopped; in every frame.
TRAP = """
for (const name of ["alert", "confirm", "prompt", "print"]) window[name] = () => struck(name);
document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI, sample }) =>
  struck(`policy: ${violatedDirective} ${blockedURI} ${sample}`));
"""
# What on the page could run or fetch something once it is clicked or pointed at.
AUDIT = r"""
() => {
  const ACTIVE = /^(iframe|frame|object|embed|applet|base|portal|foreignobject|animate|set|use|video|audio)$/;
  const found = [];
  const say = (node) => found.push(node.outerHTML.slice(0, 200));
  for (const node of document.querySelectorAll("*")) {
    const tag = node.localName.toLowerCase();
    if (ACTIVE.test(tag)) say(node);
    if (tag === "script" && !node.src.startsWith(`${location.origin}/static/`)) say(node);
    if (tag === "meta" && node.hasAttribute("http-equiv")) say(node);
    for (const { name, value } of node.attributes) {
      if (/^on|^(srcdoc|formaction|action|background|poster|srcset|ping|cite|data|is)$/.test(name)) say(node);
      if (!/^(src|href|xlink:href)$/.test(name)) continue;
      const url = new URL(value, document.baseURI);
      if (url.origin === location.origin) continue;
      if (tag === "a" && /^(https?|mailto):$/.test(url.protocol) && node.relList.contains("noopener")) continue;
      say(node);
    }
  }
  // An id or a name that a document chose could stand in for one of the page's own.
  const chosen = ":is(#rendered, #comparison, #raw) :is([id], [name], [style]:not(math, math *))";
  for (const node of document.querySelectorAll(chosen)) say(node);
  for (const node of document.querySelectorAll("math[style], math [style]")) {
    if (/url|position|expression/i.test(node.getAttribute("style"))) say(node);
  }
  return found;
}
"""


class Window:
    """A browser's window, and what attacks have achieved in it."""

    def __init__(self, context: BrowserContext, services: Running, user: str) -> None:
        self.services = services
        self.page: Page = context.new_page()
        self.page.set_default_timeout(60_000)
        #: By the address of the frame.
        self.struck: list[tuple[str, str]] = []
        self.asked: list[str] = []
        self.errors: list[str] = []
        self.user = user
        context.expose_binding("struck", lambda source, what: self.struck.append((source["frame"].url, what)))
        context.add_init_script(TRAP)
        context.route(re.compile(r"^(?!http://127\.0\.0\.1:|data:|blob:|file:)"), self._stop)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._note)

    def job(self, job_id: str, page: int | None = None) -> Page:
        """Open a document, or a page of it."""
        self.page.goto(f"{self.services.url}/#/jobs/{job_id}" + (f"/pages/{page}" if page else ""))
        return self.page

    def assert_harmless(self) -> None:
        """The page holds nothing that could run, and up to now nothing has."""
        assert self.page.evaluate(AUDIT) == []
        assert self.struck == []
        assert self.asked == []
        assert self.errors == []

    def _note(self, request: Request) -> None:
        if not request.url.startswith((self.services.url, "file:")):
            self.asked.append(request.url)

    def _stop(self, route: Route) -> None:
        self.asked.append(route.request.url)
        route.abort()


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("attacks")
    with running(folder, OCR_ENGINE="tests.attacking:create", OCR_BATCH_SIZE="30") as found:
        yield found


@pytest.fixture(params=["without", pytest.param("with", marks=pytest.mark.slow)])
def window(browser: Browser, services: Running, request: pytest.FixtureRequest) -> Iterator[Window]:
    """A window without or with the service's policy."""
    user = f"{re.sub(r'[^a-z]', '', request.node.name)[:60]}@example.org"
    context = browser.new_context(
        bypass_csp=request.param == "without",
        viewport={"width": 1280, "height": 800},
        extra_http_headers={"X-User-Email": user},
    )
    yield Window(context, services, user)
    context.close()


SOME = pytest.param((1,), id="some")
ALL = pytest.param(tuple(range(1, len(PARTS) + 1)), id="all", marks=pytest.mark.slow)


def test_each_attack_is_in_one_part() -> None:
    assert len(ATTACKS) >= 223
    assert sorted(attack for part in PARTS for attack in part) == sorted(ATTACKS)


@pytest.mark.parametrize("parts", [SOME, ALL])
def test_the_attacks_work_where_nothing_stops_them(browser: Browser, services: Running, parts: tuple[int, ...]) -> None:
    context = browser.new_context()
    window = Window(context, services, "")
    attacks = [attack for part in parts for attack in PARTS[part - 1]]

    def answer(route: Route) -> None:
        number = route.request.url.rpartition("/")[2]
        body = (
            attacks[int(number)]
            if number.isdigit()
            else "".join(f"<iframe src=/{at}></iframe>" for at in range(len(attacks)))
        )
        route.fulfill(body=f"<!doctype html><meta charset=utf-8><body>{body}", content_type="text/html")

    context.route("http://bare.example/**", answer)
    window.page.goto("http://bare.example/all")

    def successful() -> bool:
        window.page.wait_for_timeout(50)
        ran = {address for address, _ in window.struck}
        fetched = {address for address in window.asked if "elsewhere.example" in address}
        return len(ran) > len(attacks) / 5 and bool(fetched)

    services.until(successful, "a fifth of the attacks to run, and one to fetch")
    context.close()


@pytest.mark.parametrize("parts", [SOME, ALL])
def test_attacks_in_a_text_are_harmless_in_every_view(window: Window, tmp_path: Path, parts: tuple[int, ...]) -> None:
    job_id = read(window, tmp_path, parts)
    page = window.job(job_id)
    expect(page.locator(".tile")).to_have_count(2 * len(parts))
    expect(page.locator("#failures")).to_contain_text("alert(1)")
    page.get_by_role("searchbox", name="Search in this document").fill("alert(1)")
    expect(page.locator("#search-results li")).to_have_count(len(parts))
    window.assert_harmless()
    for number in parts:
        window.job(job_id, number)
        expect(page.locator("#rendered")).to_contain_text("alert(1)")
        expect(page.locator(".place-line")).not_to_have_count(0)
        window.assert_harmless()
        page.locator("#rendered [data-line]").first.hover()
        page.locator("#as-markdown").click()
        expect(page.locator("#raw")).to_contain_text("alert(1)")
        window.assert_harmless()
        page.locator("#as-text").click()
        window.job(job_id, failing(number))
        expect(page.locator("#reader-state")).to_contain_text("alert(1)")
        window.assert_harmless()


@pytest.mark.parametrize("parts", [SOME, ALL])
def test_attacks_in_two_readings_are_harmless_where_they_are_compared(
    window: Window, tmp_path: Path, parts: tuple[int, ...]
) -> None:
    job_id = read(window, tmp_path, parts)
    answer = window.services.client.post(
        f"{window.services.url}/api/jobs/{job_id}/retry",
        json={"pages": list(parts), "dpi": 72},
        headers={"X-User-Email": window.user},
    )
    assert answer.status_code == 202
    window.services.until(partial(ended, window, job_id), "the second reading")
    for number in parts:
        page = window.job(job_id, number)
        page.locator("#readings").get_by_role("button", name="Compare").click()
        for button in ("#as-text", "#as-markdown"):
            page.locator(button).click()
            expect(page.locator(".comparison-summary")).to_contain_text("differ")
            expect(page.locator(".comparison-sides")).to_contain_text("alert(1)")
            window.assert_harmless()


@pytest.mark.parametrize("parts", [SOME, ALL])
def test_attacks_in_a_text_are_harmless_in_html(window: Window, tmp_path: Path, parts: tuple[int, ...]) -> None:
    job_id = read(window, tmp_path, parts)
    page = window.page
    address = f"/api/jobs/{job_id}/result?format=html&headers=true"
    answer = window.services.get(address, **{"X-User-Email": window.user})
    assert answer.headers["Content-Disposition"].startswith("attachment")
    saved = tmp_path / "saved.html"
    saved.write_bytes(answer.content)
    page.goto(saved.as_uri())
    expect(page.locator("section")).to_have_count(2 * len(parts))
    window.assert_harmless()

    # As the service sends it, were a browser to show it on the service's own origin.
    page.route("**/result?*", lambda route: route.fulfill(body=answer.content, content_type="text/html; charset=utf-8"))
    page.goto(f"{window.services.url}{address}")
    expect(page.locator("section")).to_have_count(2 * len(parts))
    window.assert_harmless()
    for number in parts:
        page.goto(f"{window.services.url}/api/jobs/{job_id}/pages/{number}")
        expect(page.locator("body")).to_contain_text("alert(1)")
        window.assert_harmless()


@pytest.mark.parametrize("parts", [SOME, ALL])
def test_attacks_in_names_and_in_what_the_service_says_are_harmless(
    window: Window, tmp_path: Path, parts: tuple[int, ...]
) -> None:
    attacks = [attack for part in parts for attack in PARTS[part - 1]]
    job_id = read(window, tmp_path, (1,))
    page = window.page
    job = window.services.status(job_id, user=window.user)

    # The list of documents, and the files on their way. The service keeps of a name what follows the last slash, and
    # only what can be printed; the page does not rely on that.
    listed = window.services.get("/api/jobs", **{"X-User-Email": window.user}).json()["jobs"][0]
    listed["status"] = "failed"
    rows = [
        {**listed, "job_id": f"{at:032x}", "message": attack, "file_info": {**listed["file_info"], "filename": attack}}
        for at, attack in enumerate(attacks)
    ]
    page.route("**/api/jobs?*", partial(answered, answer={"jobs": rows, "next_cursor": None}))
    problem = {
        "type": "about:blank",
        "status": 415,
        "title": attacks[0],
        "detail": " ".join(attacks),
        "hint": attacks[-1],
    }
    page.route("**/upload", partial(answered, answer=problem, status=415))
    page.goto(f"{window.services.url}/")
    expect(page.locator(".joblist-name")).to_have_count(len(attacks))
    page.get_by_role("button", name="Select").click()
    drop(page, attacks)
    expect(page.locator(".upload .problem")).to_have_count(len(attacks))
    window.assert_harmless()
    page.get_by_label("All that are shown").check()
    page.locator("#delete-selected").click()
    page.locator("#toast").get_by_role("button", name="Undo").click()
    page.unroute("**/api/jobs?*")

    # A document whose record says them wherever it has words.
    for number in parts:
        text = " ".join(PARTS[number - 1])
        pages = {n: {**one, "error": text, "doubts": [text]} for n, one in job["pages"].items()}
        words = {"message": text, "error": text, "warnings": [text], "pages": pages}
        forged = {**job, **words, "file_info": {**job["file_info"], "filename": text}}
        page.route("**/status", partial(answered, answer=forged))
        page.goto(f"{window.services.url}/")
        window.job(job_id)
        expect(page.get_by_role("heading", level=1)).to_contain_text("alert(1)")
        window.assert_harmless()
        window.job(job_id, 1)
        expect(page.locator("#reader-back")).to_contain_text("alert(1)")
        window.assert_harmless()
        window.job(job_id)
        page.get_by_role("button", name="Delete").click()
        expect(page.locator("#toast")).to_contain_text("alert(1)")
        window.assert_harmless()
        page.locator("#toast").get_by_role("button", name="Undo").click()
        page.unroute("**/status")


@pytest.mark.slow
def test_names_that_the_service_has_taken_are_harmless(window: Window, tmp_path: Path) -> None:
    plain = pdf(tmp_path / "plain.pdf", 1).read_bytes()
    headers = {"X-User-Email": window.user}
    names = []
    # A name ends at a slash, and has at most 255 characters.
    whole = [attack for attack in ATTACKS if "/" not in attack and "\\" not in attack and attack.isprintable()]
    for at in range(4):
        files = {"file": (" ".join(whole[at::8]), plain, "application/pdf")}
        answer = window.services.client.post(f"{window.services.url}/upload", files=files, headers=headers)
        job_id = answer.json()["job_id"]
        window.services.until(partial(ended, window, job_id), "the job")
        name = window.services.status(job_id, user=window.user)["file_info"]["filename"]
        assert "onerror=alert(1)>" in name
        names.append(name)
        page = window.job(job_id)
        expect(page.locator("#job-title")).to_have_text(name)
        window.assert_harmless()
        saved = tmp_path / "saved.html"
        saved.write_bytes(window.services.get(f"/api/jobs/{job_id}/result?format=html", **headers).content)
        page.goto(saved.as_uri())
        expect(page).to_have_title(name)
        window.assert_harmless()
    page.goto(f"{window.services.url}/")
    expect(page.locator(".joblist-name")).to_have_text(list(reversed(names)))
    window.assert_harmless()


def read(window: Window, folder: Path, parts: tuple[int, ...]) -> str:
    """A document with these parts, and as many pages that fail with them; its id once it has ended."""
    pages = ",".join(str(number) for part in parts for number in (part, failing(part)))
    job_id = window.services.upload(pdf(folder / "attacks.pdf", PAGES), user=window.user, pages=pages, dpi="100")
    window.services.until(lambda: ended(window, job_id), "the job")
    return job_id


def ended(window: Window, job_id: str) -> bool:
    return window.services.status(job_id, user=window.user)["status"] in ("completed", "partial")


def answered(route: Route, request: Request, *, answer: Any, status: int = 200) -> None:
    kind = "application/problem+json" if status >= 400 else "application/json"
    route.fulfill(status=status, content_type=kind, body=json.dumps(answer))


def drop(page: Page, names: list[str]) -> None:
    """Drop files of these names."""
    transfer = page.evaluate_handle(
        """names => {
            const transfer = new DataTransfer();
            for (const name of names) transfer.items.add(new File(["x"], name, {type: "application/pdf"}));
            return transfer;
        }""",
        names,
    )
    page.dispatch_event("#dropzone", "drop", {"dataTransfer": transfer})
