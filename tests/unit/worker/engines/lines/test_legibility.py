"""Lines that a recogniser could not read, by its confidence and by the characters for their length."""

import numpy as np
import pytest

from services.worker.engines.lines.detector import Quads
from services.worker.engines.lines.legibility import MIN_CONFIDENCE, MIN_DENSITY, is_readable, judge, judge_page
from services.worker.engines.lines.recogniser import RecognisedText

PROSE = RecognisedText(text="the committee approved the minutes of May", confidence=0.97)
#: What a recogniser makes of a line in a script that it does not know.
SCRAPS = RecognisedText(text=", .", confidence=0.95)
UNSURE = RecognisedText(text="Bnecy 6bIno TeMHo, n nyTHuK", confidence=0.45)


def boxes(*widths: float) -> Quads:
    """Lines of 20 pixels height, so many pixels long, below each other."""
    return np.array(
        [[[0, 40 * i], [w, 40 * i], [w, 40 * i + 20], [0, 40 * i + 20]] for i, w in enumerate(widths)], dtype=np.float64
    ).reshape(-1, 4, 2)


@pytest.mark.parametrize(
    ("text", "readable"),
    [
        (PROSE, True),
        (SCRAPS, False),
        (UNSURE, False),
        (RecognisedText(text="", confidence=0.0), False),
        (RecognisedText(text="x" * round(20 * MIN_DENSITY), confidence=MIN_CONFIDENCE), True),
        (RecognisedText(text="x" * (round(20 * MIN_DENSITY) - 1), confidence=1.0), False),
    ],
    ids=lambda value: getattr(value, "text", ""),
)
def test_a_line_is_read_where_its_length_has_characters_that_are_sure(text: RecognisedText, readable: bool) -> None:
    assert is_readable(text, 20) is readable


def test_a_page_in_an_unknown_script_is_flagged_with_the_share_of_its_lines() -> None:
    found = judge(boxes(400, 400, 400, 400), [SCRAPS, UNSURE, SCRAPS, PROSE])
    assert (found.flagged, found.unreadable) == (True, 0.75)
    assert found.readable.tolist() == [False, False, False, True]


def test_a_signature_or_a_logo_flags_no_page() -> None:
    few = judge(boxes(400, 400, 400, 400, 200), [PROSE] * 4 + [UNSURE])
    assert not few.flagged
    alone = judge(boxes(200), [UNSURE])
    assert (alone.flagged, alone.unreadable) == (False, 1.0)


def test_boxes_that_others_replaced_do_not_count() -> None:
    counted = np.array([True, True, False, False])
    found = judge(boxes(400, 400, 400, 400), [PROSE, PROSE, SCRAPS, SCRAPS], counted=counted)
    assert (found.flagged, found.unreadable, found.readable.tolist()) == (False, 0.0, [True] * 4)


def test_a_page_without_lines_is_not_flagged() -> None:
    found = judge(boxes(), [])
    assert (found.flagged, found.unreadable) == (False, 0.0)


#: Latin letters in print that is poor, or what is read for Hebrew ones that look alike.
FAINT = RecognisedText(text="the tenants shall keep the roof in repair", confidence=0.7)
FIGURES = RecognisedText(text="1,250.00 1,875.00 2,500.00 3,125.00", confidence=0.97)


@pytest.mark.parametrize(
    ("script", "others", "stays"),
    [
        ("Latin", FAINT, True),  # as detected
        (None, PROSE, True),  # as most other lines show
        ("Hebrew", PROSE, False),
        (None, FIGURES, False),  # which are the same in every script
        (None, FAINT, False),
    ],
)
def test_unsure_lines_of_a_flagged_page_stay_where_its_script_is_known(
    script: str | None, others: RecognisedText, stays: bool
) -> None:
    texts = [UNSURE, UNSURE, others, others, others, others, FAINT]
    found = judge_page(boxes(*[400] * 7), texts, reads=("Latin", "Greek"), script=lambda: script)
    assert (found.flagged, found.script) == (True, script)
    assert bool(found.readable[-1]) is stays
    assert not found.readable[:2].any()


def test_the_script_of_a_page_that_is_not_flagged_is_not_looked_for() -> None:
    def unasked() -> str | None:
        raise AssertionError

    found = judge_page(boxes(400, 400), [PROSE, PROSE], reads=("Latin",), script=unasked)
    assert (found.flagged, found.script) == (False, None)
