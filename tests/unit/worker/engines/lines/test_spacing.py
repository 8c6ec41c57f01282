"""Words whose letters are set apart."""

import pytest

from services.worker.engines.lines.spacing import closed


@pytest.mark.parametrize(
    ("printed", "text"),
    [
        ("C O N T E N T S", "CONTENTS"),
        ("A B C D E F", "A B C D E F"),
        ("R S T L N B", "R S T L N B"),
        ("J R R T", "J R R T"),
        ("PART I", "PART I"),
    ],
)
def test_a_word_of_single_capitals_is_one_word(printed: str, text: str) -> None:
    assert closed(printed) == text
