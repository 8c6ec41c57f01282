"""Scripts by the names of characters."""

import pytest

from libs.page.script import listed, main_script, scripts_of


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Über 12 Äpfel", "Latin"),
        ("В лесу 12 a", "Cyrillic"),
        ("سلام", "Arabic"),
        ("שלום", "Hebrew"),
        ("ภาษาไทย", "Thai"),
        ("한국어", "Hangul"),
        ("हिन्दी", "Devanagari"),
        ("公司", "Chinese"),
        ("ひらがなとカタカナ", "Japanese"),
        ("12.5 %", None),
        ("", None),
    ],
)
def test_the_script_of_a_text_is_that_of_most_letters(text: str, script: str | None) -> None:
    assert main_script(text) == script


def test_an_alphabet_knows_the_scripts_of_which_it_has_the_letters() -> None:
    latin = "abcdefghijklmnopqrstuvwxyz"
    cyrillic = "абвгдежзийклмнопрстуфхцчшщъыьэюя"
    assert scripts_of([*latin, *cyrillic[:5], "π", "é", "", "1"]) == ("Latin",)
    assert set(scripts_of([*latin, *cyrillic])) == {"Latin", "Cyrillic"}


def test_names_are_listed_as_in_a_sentence() -> None:
    assert [listed(names) for names in ([], ["Latin"], ["Latin", "Thai"], ["Latin", "Greek", "Thai"])] == [
        "",
        "Latin",
        "Latin and Thai",
        "Latin, Greek and Thai",
    ]
