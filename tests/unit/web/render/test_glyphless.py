"""The codes and the Unicode map of the font without glyphs."""

import re

from services.web.render.child.glyphless import DEFAULT_WIDTH, UNITS, Codes, width


def read_back(codes: Codes, shown: list[int]) -> str:
    """What a viewer reads of the codes by the map."""
    cmap = codes.to_unicode().decode("ascii")
    singles = {
        int(code, 16): bytes.fromhex(one) for code, one in re.findall(r"^<(\w{4})> <(\w+)>$", cmap, re.MULTILINE)
    }
    ranges = [
        tuple(int(one, 16) for one in found)
        for found in re.findall(r"^<(\w{4})> <(\w{4})> <(\w{4})>$", cmap, re.MULTILINE)
    ]

    def read(code: int) -> bytes:
        if code in singles:
            return singles[code]
        return next(target + code - first for first, last, target in ranges if first <= code <= last).to_bytes(2, "big")

    return b"".join(map(read, shown)).decode("utf-16-be")


def test_every_character_is_read_back() -> None:
    codes = Codes()
    text = "Aé €שलि日한\u0301" + "𠮷😀𝒳😀" + "\uffff\ue000"
    assert read_back(codes, codes.of(text)) == text


def test_control_characters_are_spaces_and_half_a_pair_is_unknown() -> None:
    codes = Codes()
    assert read_back(codes, codes.of("a\tb\n\ud800")) == "a b \ufffd"


def test_more_characters_beyond_the_basic_plane_than_there_are_codes_are_unknown() -> None:
    codes = Codes()
    many = "".join(chr(0x20000 + n) for n in range(2049))
    assert read_back(codes, codes.of(many)) == many[:-1] + "\ufffd"
    assert read_back(codes, codes.of(many[0])) == many[0]


def test_the_map_has_blocks_of_a_hundred_at_most() -> None:
    codes = Codes()
    codes.of("".join(chr(0x20000 + n) for n in range(250)) + "".join(chr(row << 8) for row in range(200)))
    blocks = re.findall(r"(\d+) begin(?:bfchar|bfrange)\n(.*?)\nend", codes.to_unicode().decode("ascii"), re.DOTALL)
    assert [int(count) for count, _ in blocks] == [len(body.split("\n")) for _, body in blocks]
    assert max(int(count) for count, _ in blocks) == 100


def test_widths_are_those_of_print() -> None:
    assert width(ord("i")) < width(ord("n")) < width(ord("W")) < UNITS
    assert width(ord("日")) == UNITS
    assert width(0x0301) == 0
    assert width(ord("я")) == DEFAULT_WIDTH
