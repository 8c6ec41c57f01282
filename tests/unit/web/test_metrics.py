"""What a sweep tells of the jobs it saw."""

from datetime import timedelta

from services.web.metrics import survey
from tests.jobs import START, extracted, opened, read

LATER = START + timedelta(seconds=90)


def test_survey_of_nothing_says_that_nobody_waits() -> None:
    found = survey([], LATER)
    assert found.jobs == {"queued": 0, "extracting": 0, "processing": 0}
    assert (found.waiting_seconds, found.quiet_seconds) == (0.0, 0.0)


def test_survey_counts_by_status_and_leaves_out_what_has_ended() -> None:
    over = extracted(1).settled({1: read()}, START).combining(START).end(START)
    found = survey([opened(), opened().load(START), extracted(2), extracted(2).cancel(START), over], LATER)
    assert found.jobs == {"queued": 1, "extracting": 1, "processing": 1}


def test_job_waits_until_the_first_page_of_its_run_is_read_and_is_quiet_until_the_next() -> None:
    soon = START + timedelta(seconds=60)
    begun = extracted(3).settled({1: read()}, soon)
    assert (survey([begun], LATER).waiting_seconds, survey([begun], LATER).quiet_seconds) == (0.0, 30.0)
    assert survey([begun, opened()], LATER).waiting_seconds == 90.0
    again = begun.cancel(soon).retry([1], soon)
    assert survey([again], LATER).waiting_seconds == 30.0, "a page of the last run does not answer this one"
