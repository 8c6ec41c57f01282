"""Lines of two directions, in the order in which they are seen; what is expected is written by hand."""

import pytest

from services.web.render.child.bidi import visual_order

SHALOM, OLAM = "שלום", "עולם"


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("plain text, 12 %", "plain text, 12 %"),
        (SHALOM, SHALOM[::-1]),
        (f"{SHALOM} {OLAM}", f"{OLAM[::-1]} {SHALOM[::-1]}"),
        # A number runs to the right in a line that runs to the left, with its separators and signs.
        (f"{SHALOM} 1,234.5 {OLAM}", f"{OLAM[::-1]} 1,234.5 {SHALOM[::-1]}"),
        (f"{SHALOM} 12%", f"12% {SHALOM[::-1]}"),
        # Latin words keep their order within it.
        (f"{SHALOM} two words {OLAM}", f"{OLAM[::-1]} two words {SHALOM[::-1]}"),
        (f"see {SHALOM} {OLAM} there", f"see {OLAM[::-1]} {SHALOM[::-1]} there"),
        # A number after Latin letters is Latin; one after Hebrew letters belongs to these.
        (f"page 5 {SHALOM}", f"page 5 {SHALOM[::-1]}"),
        (f"see {SHALOM} 5", f"see 5 {SHALOM[::-1]}"),
        # A full stop at the end of a line that runs to the left is at its left.
        (f"{SHALOM}.", f".{SHALOM[::-1]}"),
        # A bracket that opens is seen as one that closes.
        (f"{SHALOM} ({OLAM}) (x)", f"(x) ({OLAM[::-1]}) {SHALOM[::-1]}"),
        # Marks stay with their letter when they are turned back character by character.
        ("שָׁ", "שָׁ"[::-1]),
    ],
)
def test_a_line_is_in_the_order_of_its_places(line: str, seen: str) -> None:
    assert visual_order(line) == seen


@pytest.mark.parametrize("line", ["", ".", "١٢", f"{SHALOM}\u200d", f"1{SHALOM}2", f"({SHALOM}) [x]"])
def test_no_character_is_lost(line: str) -> None:
    assert sorted(visual_order(line)) == sorted(line), "brackets come in pairs here"
