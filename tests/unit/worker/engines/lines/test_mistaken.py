"""Characters that are mistaken for others: replaced only where text and model agree."""

import pytest

from services.worker.engines.lines.mistaken import mended


@pytest.mark.parametrize(
    ("read", "printed"),
    [
        ("S11.00", "$11.00"),
        ("Total S1,204.50 due", "Total $1,204.50 due"),
        ("s45,000", "$45,000"),
        ("717/2017", "7/7/2017"),
        ("Date: 114/1999", "Date: 1/4/1999"),
        ("S5", "S5"),
        ("S1.2.3", "S1.2.3"),
        ("PS11.00", "PS11.00"),
        ("1717/2017", "1717/2017"),
        ("717/201", "717/201"),
    ],
)
def test_what_the_text_shows_to_be_a_mistake_is_mended(read: str, printed: str) -> None:
    assert mended(read, lambda at, character: 0.05) == printed


@pytest.mark.parametrize("read", ["S11.00", "717/2017"])
def test_what_the_model_is_sure_of_stays(read: str) -> None:
    assert mended(read, lambda at, character: 0.001) == read


def test_the_model_is_asked_about_the_place_of_the_character() -> None:
    asked: list[tuple[int, str]] = []

    def likelihood(at: int, character: str) -> float:
        asked.append((at, character))
        return 0.0

    mended("on 717/2017 S11.00", likelihood)
    assert asked == [(12, "$"), (4, "/")]
