"""Headings by size, bold type and section number; captions by their word and number; footnotes by their marks."""

import pytest

from services.worker.engines.lines.kind import begins_note, is_caption, level_of


@pytest.mark.parametrize(
    ("line", "size", "bold", "level"),
    [
        ("The Title", 2.0, False, 1),
        ("A section", 1.4, False, 2),
        ("A section", 1.0, False, None),
        ("A section", 1.0, True, 3),
        ("1 Introduction", 1.0, True, 2),
        ("2. Methods", 1.0, True, 2),
        ("2.1 Subjects", 1.0, True, 3),
        ("2.1.1 Where they live", 1.1, True, 4),
        ("A sentence in bold.", 1.0, True, None),
        ("A label:", 1.0, True, None),
        ("s(t) = 2t + 8", 1.5, False, None),
        ("273", 2.0, False, None),
        ("A pull quote " * 12, 2.0, False, None),
    ],
)
def test_level_is_told_from_size_bold_and_number(line: str, size: float, bold: bool, level: int | None) -> None:
    assert level_of([line], size, bold=bold) == level


def test_group_of_many_lines_is_no_heading() -> None:
    assert level_of(["one", "two", "three", "four"], 2.0, bold=True) is None


@pytest.mark.parametrize(
    "text",
    [
        "Figure 3: A harbour",
        "Fig. 3. A harbour",
        "FIG. 12a — A harbour",
        "Table 1 Composition of the data",
        "Table IV. Results",
        "Tabelle 2: Ergebnisse",
        "Abb. 3.1: Ein Hafen",
        "Tableau 5 – Résultats",
    ],
)
def test_captions_are_known_by_their_word_and_number(text: str) -> None:
    assert is_caption(text)


@pytest.mark.parametrize(
    "text", ["Table 4 shows that it fell", "Figures are in pounds", "The table below", "Fig trees", "Table of Contents"]
)
def test_sentences_are_no_captions(text: str) -> None:
    assert not is_caption(text)


@pytest.mark.parametrize(
    "text", ["1 See there.", "12See there.", "* The author", "†Corresponding author", "3 “Quoted”"]
)
def test_footnotes_are_known_by_their_marks(text: str) -> None:
    assert begins_note(text)


@pytest.mark.parametrize("text", ["1. One", "1,250 pounds", "three", "1 kg of it", "1999 See there"])
def test_numbers_of_another_kind_begin_no_footnote(text: str) -> None:
    assert not begins_note(text)
