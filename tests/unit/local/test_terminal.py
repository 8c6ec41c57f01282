"""What the person at the terminal sees of a job."""

from typing import Any

import pytest

from services.local.terminal import Phase, phase


def record(step: str, *pages: tuple[bool, str]) -> dict[str, Any]:
    """A job's record with pages of these images and statuses."""
    numbered = {str(number): {"image": image, "status": status} for number, (image, status) in enumerate(pages, 1)}
    return {"current_step": step, "pages": numbered}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (record("queued"), Phase(name="Extracting", done=0, total=None)),
        (
            record("extracting_images", (True, "pending"), (False, "pending")),
            Phase(name="Extracting", done=1, total=2),
        ),
        (
            record("ocr", (True, "completed"), (True, "failed"), (True, "processing")),
            Phase(name="Reading", done=2, total=3),
        ),
    ],
)
def test_pages_are_counted_as_extracted_and_then_as_read(given: dict[str, Any], expected: Phase) -> None:
    assert phase(given) == expected
