"""The exit code of `read`."""

from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any

import pytest

from gnosis_ocr import Job
from gnosis_ocr.models import FileInfo, Page
from services.local.documents import Document
from services.local.outcome import Outcome, exit_code

DOCUMENT = Document(path=Path("a.pdf"), name="a.pdf", target=PurePath("a"))


def page(status: str = "completed", *doubts: str) -> Page:
    empty: dict[str, Any] = dict.fromkeys(
        ("image", "image_extracted_at", "processing_started_at", "processing_completed_at", "result_file", "error")
    )
    return Page(status=status, doubts=doubts, **empty)


def read(*pages: Page) -> Outcome:
    at = datetime(2026, 11, 28, tzinfo=UTC)
    info = FileInfo(filename="a.pdf", file_type="pdf", raw_file="a.pdf", file_size=1, total_pages=len(pages))
    job = Job(
        job_id="1",
        session_id="1",
        status="completed",
        error=None,
        current_step="completed",
        message="",
        percent=100,
        file_info=info,
        user_email="",
        user_hash="",
        created_at=at,
        updated_at=at,
        batch_size=1,
        pages=dict(enumerate(pages, 1)),
    )
    return Outcome(document=DOCUMENT, job=job)


GOOD, DOUBTFUL, HOLED = read(page()), read(page(), page("completed", "words_differ")), read(page(), page("failed"))
LOST, THERE = Outcome(document=DOCUMENT, error="no"), Outcome(document=DOCUMENT, skipped=True)


@pytest.mark.parametrize(
    ("outcomes", "strict", "code"),
    [
        ([GOOD, GOOD], True, 0),
        ([THERE], True, 0),
        ([LOST], False, 1),
        ([LOST, LOST], False, 1),
        ([LOST, GOOD], False, 3),
        ([LOST, THERE], False, 3),
        ([HOLED], False, 3),
        ([HOLED, DOUBTFUL], True, 3),
        ([DOUBTFUL, GOOD], True, 4),
        ([DOUBTFUL, GOOD], False, 0),
    ],
)
def test_the_exit_code_tells_all_some_and_none_apart(outcomes: list[Outcome], strict: bool, code: int) -> None:
    assert exit_code(outcomes, strict=strict) == code
