"""The real services, a scan made by code, and clients of other services in environments of their own."""

from collections.abc import Iterator
from pathlib import Path

import pymupdf
import pytest

from tests.printed import SCALE, Print, printed, saved
from tests.running import Running, running
from tests.scripted import Script

#: What is printed on the pages of the scan.
PAGES = (
    ("The committee met on the third of March", "and the minutes of the meeting were read."),
    ("Mr Willoughby asked why 1204 had been paid", "which was answered by the treasurer."),
)
#: A word of each page, as any engine reads it.
WORDS = ("committee", "Willoughby")
#: What the scripted engine reads; page 2 fails.
SCRIPTED = Script(fail=(2,), printed={1: "The first page is read.", 3: "The third page is read."})


def scanned(pages: list[Print], path: Path) -> Path:
    """A PDF whose pages are pictures: without text of their own."""
    from PIL import Image

    with pymupdf.open() as document:
        for page in pages:
            sheet = document.new_page(width=page.width / SCALE, height=page.height / SCALE)
            sheet.insert_image(sheet.rect, stream=saved(Image.fromarray(page.pixels), "PNG"))
        document.save(path)
    return path


@pytest.fixture(scope="session")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two printed pages."""
    return scanned([printed(lines) for lines in PAGES], tmp_path_factory.mktemp("scan") / "scan.pdf")


@pytest.fixture(scope="session")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pages for the scripted engine."""
    pages = [printed([f"Page {number}"]) for number in (1, 2, 3)]
    return scanned(pages, tmp_path_factory.mktemp("three") / "three.pdf")


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """With the real engine."""
    with running(tmp_path_factory.mktemp("frontdoors")) as found:
        yield found


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """With an engine that fails at page 2."""
    with running(tmp_path_factory.mktemp("failing"), script=SCRIPTED) as found:
        yield found
