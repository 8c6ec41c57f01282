"""What the person at the terminal sees of a job."""

import msgspec
import pytest

from gnosis_ocr import Job
from services.local.reading import phase
from services.local.terminal import Display, Phase
from tests.unit.local.test_outcome import page, read


def job(step: str, *pages: tuple[bool, str]) -> Job:
    """A job in this step, with pages of these images and statuses."""
    made = read(*(page(status) for _, status in pages)).job
    assert made is not None
    numbered = {
        number: msgspec.structs.replace(made.pages[number], image="page.png" if image else None)
        for number, (image, _) in enumerate(pages, 1)
    }
    return msgspec.structs.replace(made, current_step=step, pages=numbered)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (job("queued"), Phase(name="Extracting", done=0, total=None)),
        (
            job("extracting_images", (True, "pending"), (False, "pending")),
            Phase(name="Extracting", done=1, total=2),
        ),
        (
            job("ocr_processing", (True, "completed"), (True, "failed"), (True, "processing")),
            Phase(name="Reading", done=2, total=3),
        ),
    ],
)
def test_pages_are_counted_as_extracted_and_then_as_read(given: Job, expected: Phase) -> None:
    assert phase(given) == expected


def test_without_a_terminal_each_phase_of_a_document_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    with Display(quiet=False) as display:
        for done in (1, 2, 3):
            display.show("a.pdf", Phase(name="Reading", done=done, total=3))
        display.show("b\x1b[31m.pdf", Phase(name="Extracting", done=0, total=None))
        display.end("a.pdf")
        display.table(("Document", "Pages"), [("[red]a.pdf", "3"), ("b\x1b[31m.pdf", "1")])
    with Display(quiet=True) as display:
        display.show("a.pdf", Phase(name="Reading", done=1, total=3))
    output, errors = capfd.readouterr()
    assert output == ""
    assert errors.startswith("gnosis-ocr: Reading: a.pdf\ngnosis-ocr: Extracting: b?[31m.pdf\n")
    assert errors.count("Reading") == 1
    assert "[red]a.pdf" in errors, "markup in a name is text"
    assert "\x1b" not in errors
