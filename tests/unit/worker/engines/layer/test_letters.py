"""What the characters of a layer say of it."""

import pytest

from services.worker.engines.layer.letters import clean, letters, runs_left
from tests.layered import HEBREW, PROSE

ARABIC = "في المدينة القديمة مكتبة كبيرة فيها الكتب النادرة"


def test_prose_has_nothing_against_it() -> None:
    found = letters(PROSE.splitlines())
    assert found.characters == len("".join(PROSE.split()))
    assert (found.unmapped, found.broken, found.visual_order, found.implausible) == (0, 0, False, False)


def test_characters_without_a_meaning_are_counted_apart_from_those_without_a_map() -> None:
    found = letters(["ab\ufffd\ufffd", "\x02\ue000c"])
    assert (found.characters, found.unmapped, found.broken) == (7, 2, 2)


def test_bullets_of_symbol_fonts_have_a_meaning() -> None:
    assert letters(["\uf0b7 first", "\uf0fc second"]).broken == 0
    assert clean("\uf0b7 first") == "• first"


def test_letters_that_stand_for_others_have_hardly_a_vowel() -> None:
    assert letters(["".join(chr(ord(c) + 3) if c.isalpha() else c for c in PROSE)]).implausible


@pytest.mark.parametrize("text", [HEBREW, ARABIC])
def test_right_to_left_text_is_told_from_its_mirror(text: str) -> None:
    assert not letters(text.splitlines()).visual_order
    assert letters(line[::-1] for line in text.splitlines()).visual_order
    assert runs_left(text)


def test_what_cannot_be_shown_is_cleaned_away() -> None:
    assert clean("co\u00adop\x00era\u200btive\ue123 \ufb01t") == "co-operative fit"
    assert clean("\ufefb") == "لا"
    assert clean("\u2f92\u2ed1") == "見長"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("J´an Min´aˇc", "Ján Mináč"),
        ("Jim´enez, Garc´ıa", "Jiménez, García"),
        ("gar¸con, garc¸on", "gar¸con, garçon"),
        ("M¨uller", "Müller"),
        ("the ‘‘corporate’’ term", "the “corporate” term"),
        ("˜x and ´", "˜x and ´"),
    ],
)
def test_characters_that_were_set_in_two_parts_are_one(text: str, shown: str) -> None:
    assert clean(text) == shown
