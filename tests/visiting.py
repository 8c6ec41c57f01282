"""A user's browser window over the real services."""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, Response, expect

from tests.running import Running

PATIENCE_MS = 120_000

expect.set_options(timeout=PATIENCE_MS)


class Visit:
    """One user's browser window, and what it did behind the page."""

    def __init__(self, context: BrowserContext, services: Running, user: str, bucket: str = "") -> None:
        self.services = services
        self.ours = tuple(filter(None, (services.url, bucket)))
        self.user = user
        self.page = context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.faults: list[str] = []
        self.elsewhere: list[str] = []
        self.asked: list[str] = []
        self.statuses: list[Response] = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))
        self.page.on("console", self._heard)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("response", self._answered)

    def home(self) -> Page:
        self.page.goto(f"{self.services.url}/")
        return self.page

    def job(self, job_id: str, page: int | None = None) -> Page:
        self.page.goto(f"{self.services.url}/#/jobs/{job_id}" + (f"/pages/{page}" if page else ""))
        return self.page

    def choose(self, *files: Path) -> None:
        self.page.get_by_label("Choose files").set_input_files(list(files))

    def opened(self) -> str:
        """The id of the job that the page has opened."""
        self.page.wait_for_url(re.compile(r"#/jobs/[0-9a-f]{32}$"))
        return self.page.url.rsplit("/", 1)[-1]

    def upload(self, path: Path, **fields: str) -> str:
        """Upload behind the page's back, and wait for the end."""
        return self.upload_all([path], **fields)[0]

    def upload_all(self, paths: Sequence[Path], **fields: str) -> list[str]:
        """Upload one after another, and wait for the end of all."""
        job_ids = [self.services.upload(path, user=self.user, **fields) for path in paths]
        for job_id in job_ids:
            self.services.until(partial(self._ended, job_id), "the job")
        return job_ids

    def _ended(self, job_id: str) -> bool:
        return self.services.status(job_id, user=self.user)["status"] in ("completed", "partial")

    def _heard(self, message: Any) -> None:
        # A refused or lost request is the page's business; a broken policy or script is ours.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.faults.append(message.text)

    def _answered(self, response: Response) -> None:
        if not response.url.startswith(self.ours):
            self.elsewhere.append(response.url)
        if response.url.endswith("/status"):
            self.statuses.append(response)


def visiting(browser: Browser, services: Running, user: str, bucket: str = "") -> Iterator[Visit]:
    """A window of that user. When it closes: no script or policy failed, and nothing came from elsewhere."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 800},
        extra_http_headers={"X-User-Email": user} if user else {},
        permissions=["clipboard-read", "clipboard-write"],
    )
    if proof := services.client.headers.get("Authorization"):
        # For the service alone: the bucket would have to allow the header.
        context.route(
            f"{services.url}/**",
            lambda route: route.continue_(headers={**route.request.headers, "authorization": proof}),
        )
    found = Visit(context, services, user, bucket)
    yield found
    context.close()
    assert found.faults == []
    assert found.elsewhere == []
