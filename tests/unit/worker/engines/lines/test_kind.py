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


def test_group_of_many_lines_is_no_heading_but_on_a_title_page() -> None:
    lines = ["one", "two", "three", "four"]
    assert level_of(lines, 2.0, bold=True) is None
    assert level_of(lines, 2.0, bold=False, title_page=True) == 1


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("IV. Individual privacy", 2),
        ("2.1 Subjects", 3),
        ("4. Instrumentation", 2),
        ("A. Intuitive view", 3),
        ("References", 2),
        ("Results and discussion", 2),
        ("Results of the year", None),
        ("4. Juli 2019", None),
        ("15 Main Street", None),
        ("3. cos 102° + i sin 102°", None),
        ("A. it is a letter,", None),
        ("Something else", None),
    ],
)
def test_line_of_the_size_of_the_text_is_a_heading_where_it_stands_apart_and_says_so(
    text: str, level: int | None
) -> None:
    assert level_of([text], 1.0, bold=False, alone=True) == level
    assert level_of([text], 1.0, bold=False) is None


def test_text_with_as_many_digits_as_letters_is_no_heading() -> None:
    assert level_of(["17,81,841 crore"], 2.0, bold=False) is None
    assert level_of(["Chapter 12"], 2.0, bold=False) == 1


@pytest.mark.parametrize(
    "text",
    [
        "Figure 3: A harbour",
        "Fig. 3. A harbour",
        "FIG. 12a — A harbour",
        "Table 1 Composition of the data",
        "Table I\n95% of the intervals",
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
