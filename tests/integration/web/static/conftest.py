"""What the tests of the web page share; the services are each module's own."""

import re
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.required import missing
from tests.running import Running
from tests.visiting import Visit, visiting

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        missing("Chromium is not installed (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Browser, services: Running, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """A window of a user of its own, so that no test sees another's documents."""
    yield from visiting(browser, services, f"{re.sub(r'[^a-z]', '', request.node.name)[:60]}@example.org")


@pytest.fixture
def anonymous(browser: Browser, services: Running) -> Iterator[Visit]:
    """A window without a user: a browser's downloads do not carry the header that names one."""
    yield from visiting(browser, services, "")
