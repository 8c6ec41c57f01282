"""Programs and terminals among the text of a page."""

from libs.page.block import Block, BlockKind, Line, Word
from libs.page.markdown import to_markdown
from services.worker.engines.lines import program
from services.worker.engines.lines.layout import lay_out
from services.worker.engines.lines.line_box import level
from services.worker.engines.lines.page_reader import PageLines
from services.worker.engines.lines.pose import Pose
from tests.printed import PROGRAM

PITCH, HEIGHT, STEP = 12.0, 20.0, 26.0
LEFT, TOP = 50.0, 400.0
TYPED = [
    "Dear Sir; we thank you for the letter",
    "that you wrote to us on the third of",
    "March, and send with this what you",
    "asked for. It was not easy to find it",
    "among the papers of the late owner.",
]


def rectangle(text: str, left: float, top: float, width: float, words: tuple[Word, ...] = ()) -> Line:
    right, bottom = left + width, top + HEIGHT
    confidence = None if words else 1.0
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    return Line(text=text, box=corners, confidence=confidence, words=words)


def recognised(text: str, row: int) -> Line:
    """A line of one pitch, whose box is larger than its ink by a margin, and whose spaces are single."""
    left = LEFT + PITCH * (len(text) - len(text.lstrip()))
    written = " ".join(text.split())
    return rectangle(written, left, TOP + STEP * row, PITCH * len(text.strip()) + 0.35 * HEIGHT)


def typeset(text: str, row: int) -> Line:
    """A line of one pitch in a text layer, whose words have boxes."""
    words, at, top = [], 0, TOP + STEP * row
    for word in text.split():
        at = text.index(word, at)
        left = LEFT + PITCH * at
        words.append(Word(text=word, box=(left, top, left + PITCH * len(word), top + HEIGHT)))
        at += len(word)
    left, right = words[0].box[0], words[-1].box[2]
    return rectangle(" ".join(text.split()), left, top, right - left, tuple(words))


def prose(top: float = 0.0) -> list[Line]:
    """Text whose letters differ in width."""
    texts = ["some words that run to the margin of the page", "will fill little lines if all is still", "MMM WWW OOO"]
    return [rectangle(text, LEFT, top + STEP * i, 8.5 * len(text) + 60 * i) for i, text in enumerate(texts)]


def blocks(lines: list[Line]) -> tuple[Block, ...]:
    return lay_out(PageLines(pose=Pose(width=2000, height=2000), lines=tuple(lines)))


def test_program_on_a_scan_keeps_its_indents_and_is_not_escaped() -> None:
    found = blocks([*prose(), *(recognised(text, row) for row, text in enumerate(PROGRAM.split("\n")))])
    (code,) = [block for block in found if block.kind is BlockKind.CODE]
    assert code.text == PROGRAM
    assert f"```\n{PROGRAM}\n```" in to_markdown(found)


def test_program_of_a_text_layer_keeps_its_spaces_and_empty_lines() -> None:
    written = "func main() {\n\tx   := 1 // one\n\n\ty   := 22\n\tprint(x, y)\n}".replace("\t", "    ")
    lines = [typeset(text, row) for row, text in enumerate(written.split("\n")) if text]
    (code,) = [block for block in blocks([*prose(), *lines]) if block.kind is BlockKind.CODE]
    assert code.text == written


def test_typewriting_is_no_program() -> None:
    lines = [recognised(text, row) for row, text in enumerate(TYPED)]
    assert all(block.kind is not BlockKind.CODE for block in blocks([*prose(), *lines]))


def test_signs_of_programs_in_print_of_another_kind_make_no_program() -> None:
    texts = ["if (illi) {", "MMMMMMM WWWWWW();", "}; lil", "WWWWWWW := MMMMMM"]
    widths = [60, 260, 30, 280]
    lines = [
        rectangle(text, LEFT, TOP + STEP * row, width)
        for row, (text, width) in enumerate(zip(texts, widths, strict=True))
    ]
    assert all(block.kind is not BlockKind.CODE for block in blocks([*prose(), *lines]))


def test_text_before_and_after_a_program_stays_text() -> None:
    written = PROGRAM.split("\n")
    lines = [*prose(), *(recognised(text, row) for row, text in enumerate(written)), *prose(TOP + STEP * 9)]
    found = blocks(lines)
    kinds = [block.kind for block in found]
    assert kinds.count(BlockKind.CODE) == 1
    code = kinds.index(BlockKind.CODE)
    assert 0 < code < len(kinds) - 1
    assert len(found[code].lines) == len(written)


def test_clauses_that_end_in_semicolons_are_no_program() -> None:
    texts = [
        "Whereas the committee (the first);",
        "has met on the third of March, and",
        "agreed (by vote) to the lease;",
    ]
    lines = [recognised(text, row) for row, text in enumerate(texts)]
    assert all(block.kind is not BlockKind.CODE for block in blocks([*prose(), *lines]))


def test_rows_of_a_program_over_each_other_make_no_empty_lines() -> None:
    rows = [(box,) for box in level([recognised("x := f(1234)", 0)] * 3)]
    assert program.text_of(rows) == "x := f(1234)\n" * 2 + "x := f(1234)"
