"""Pages as the doors get them: one document with everything in it, and any others."""

from collections.abc import Iterable

import msgspec
from hypothesis import strategies as st

from libs.jobstate.intake import FileInfo
from libs.jobstate.outcome import OutcomeStatus, PageOutcome
from libs.page.block import Block, BlockKind, Cell, Line, Source
from libs.page.transcript import parse
from services.web.outputs.page import PageDocument, page_document
from tests.jobs import extracted

JOB = extracted(9)
OF_PICTURE = msgspec.structs.replace(
    JOB, file_info=FileInfo(filename="a.png", file_type="png", raw_file="a.png", file_size=9)
)


def line(text: str, top: float = 20, *, left: float = 15, confidence: float | None = 0.9) -> Line:
    """A line 10 pixels high, and 5 wide for each character."""
    right, bottom = left + 5 * len(text), top + 10
    return Line(text=text, box=((left, top), (right, top), (right, bottom), (left, bottom)), confidence=confidence)


def page(*blocks: Block, page_no: int = 1, picture: bool = False, **changes: object) -> PageDocument:
    """A page of 1275 x 1650 pixels at 150 DPI that an engine has read."""
    outcome = PageOutcome(
        page_no=page_no,
        run=1,
        status=OutcomeStatus.COMPLETED,
        blocks=blocks,
        text="text" if blocks else "",
        source=Source.OCR,
        engine="rapidocr",
        width=1275,
        height=1650,
    )
    return page_document(msgspec.structs.replace(outcome, **changes), OF_PICTURE if picture else JOB)


def failed(page_no: int = 2, error: str = "It is torn--\nask for a new one.") -> PageDocument:
    """A page that could not even be rendered."""
    return page_document(PageOutcome(page_no=page_no, run=1, status=OutcomeStatus.FAILED, error=error), JOB)


def blank(page_no: int = 3) -> PageDocument:
    """A page on which nothing is printed."""
    return page(page_no=page_no, blank=True, text="")


TABLE = Block(
    kind=BlockKind.TABLE,
    box=(15, 200, 415, 260),
    cells=(
        Cell(row=0, column=0, text="Year & sum", header=True, column_span=2, box=(15, 200, 415, 220)),
        Cell(row=1, column=0, text="2025", header=True, box=(15, 220, 200, 240)),
        Cell(row=1, column=1, text="7 <USD>\nnet"),
        Cell(row=2, column=1, text="9"),
    ),
    lines=(line("Year & sum", 200), line("2025", 220), line("7 <USD>", 220, left=210), line("9", 240, left=210)),
)
BLOCKS = (
    Block(kind=BlockKind.PAGE_HEADER, text="ACME & sons", box=(15, 2, 90, 12), lines=(line("ACME & sons", 2),)),
    Block(
        kind=BlockKind.TITLE,
        text="Annual\nreport",
        level=1,
        box=(15, 20, 45, 44),
        lines=(line("Annual"), line("report", 34)),
    ),
    Block(kind=BlockKind.HEADING, text="Results", level=2, box=(15, 50, 50, 60), lines=(line("Results", 50),)),
    Block(
        kind=BlockKind.PARAGRAPH,
        text="Sales have transformed\n2 * 3 * 4 <b>",
        box=(15, 70, 90, 94),
        confidence=0.9,
        lines=(line("Sales have trans-", 70), line("formed", 82, confidence=None), line("2 * 3 * 4 <b>", 94)),
    ),
    Block(
        kind=BlockKind.LIST_ITEM,
        text="one\ntwo",
        marker="•",
        box=(15, 110, 60, 134),
        lines=(line("• one", 110), line("two", 124)),
    ),
    Block(kind=BlockKind.LIST_ITEM, text="below", marker="(a)", level=2),
    Block(kind=BlockKind.LIST_ITEM, text="counted", marker="1."),
    TABLE,
    Block(kind=BlockKind.CAPTION, text="Table 1: sums", box=(15, 262, 80, 272)),
    Block(kind=BlockKind.CHECK_BOX, text="agreed", checked=True, box=(15, 280, 60, 290), lines=(line("agreed", 280),)),
    Block(kind=BlockKind.CHECK_BOX, text="refused", checked=False),
    Block(kind=BlockKind.FORMULA, text="E = mc2", latex="E = mc^2"),
    Block(kind=BlockKind.CODE, text="if a < b:\n  a &= 1"),
    Block(kind=BlockKind.FIGURE, text="A ship", box=(15, 300, 90, 400)),
    Block(kind=BlockKind.CAPTION, text="Figure 1", box=(15, 402, 80, 412)),
    Block(kind=BlockKind.FOOTNOTE, text="1. See there."),
    Block(kind=BlockKind.PAGE_NUMBER, text="17", box=(15, 1600, 25, 1610), lines=(line("17", 1600),)),
)
#: A page with every kind of block.
EVERY_KIND = page(*BLOCKS)
WRITTEN = """# A **bold** ti*tle*

See [the page](http://a/page) with H<sub>2</sub>O \\* 1

- [x] yes
- no & more

| a | b |
|---|---|
| `c` | d |"""
#: A page as a model wrote it, whose places are not known.
BY_MODEL = page(page_no=4, blocks=(), text=WRITTEN, source=Source.MODEL, engine="nanonets")
#: A document with pages of every kind.
DOCUMENT = (EVERY_KIND, failed(), blank(), BY_MODEL)

_words = st.text(st.characters(exclude_categories=("Z", "C")), min_size=1, max_size=6)
_printed = st.lists(st.lists(_words, min_size=1, max_size=4).map(" ".join), min_size=1, max_size=3)
_hostile = st.sampled_from(
    [
        "\\*",
        "&amp;",
        "<td>",
        "-->",
        "**",
        "td",
        "1.",
        "- ",
        "]: a",
        "```",
        "`x`",
        "$$",
        "\\\\",
        "\\",
        "[x]",
        "☐",
        "#",
        "<img>",
    ]
)
_lines = st.lists(st.one_of(_printed, st.lists(_hostile, min_size=1, max_size=5)).map(" ".join), min_size=1, max_size=3)
_texts = _lines.map("\n".join)


@st.composite
def _tables(draw: st.DrawFn) -> Block:
    rows, columns = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    cells = [
        Cell(row=row, column=column, text=draw(st.one_of(st.just(""), _texts)), header=draw(st.booleans()))
        for row in range(rows)
        for column in range(columns)
        if draw(st.booleans())
    ]
    return Block(kind=BlockKind.TABLE, cells=tuple(cells))


@st.composite
def _text_blocks(draw: st.DrawFn) -> Block:
    kind = draw(st.sampled_from([kind for kind in BlockKind if kind is not BlockKind.TABLE]))
    lines = draw(_lines)
    return Block(
        kind=kind,
        text="\n".join(lines),
        latex=draw(st.one_of(st.just(""), _texts)) if kind is BlockKind.FORMULA else "",
        level=draw(st.sampled_from([None, 1, 2, 3])),
        marker=draw(st.sampled_from(["", "•", "1.", "(a)", ">a", "7)"])) if kind is BlockKind.LIST_ITEM else "",
        checked=draw(st.booleans()) if kind is BlockKind.CHECK_BOX else None,
        box=draw(st.sampled_from([None, (1.0, 2.0, 30.0, 40.0)])),
        lines=tuple(line(text) for text in lines) if draw(st.booleans()) else (),
    )


#: Any blocks, as of an engine that recognises lines.
blocks: st.SearchStrategy[list[Block]] = st.lists(st.one_of(_text_blocks(), _tables()), max_size=5)
#: Any Markdown, as of a model.
markdown: st.SearchStrategy[str] = st.lists(st.one_of(_hostile, _texts, st.just("\n"), st.just("*")), max_size=8).map(
    " ".join
)


def by_model(text: str) -> PageDocument:
    """A page that a model wrote."""
    return page(*parse(text), text=text, source=Source.MODEL)


def words_of(blocks: Iterable[Block], *, latex: bool = False) -> list[str]:
    """Every word of the blocks, sorted; of a formula those of its text, or of its LaTeX where that is shown."""
    texts = []
    for block in blocks:
        shown = (block.latex or block.text) if latex else (block.text or block.latex)
        texts += [cell.text for cell in block.cells] if block.cells else [shown]
    return sorted(word for text in texts for word in text.split())
