"""What was read on a page, as the schemas of the same names in `/openapi.json` describe it.

Names of kinds and codes are plain strings and unknown fields are ignored, so that a newer service can be read.
"""

from datetime import datetime

import msgspec


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """A word of a line."""

    text: str
    #: Left, top, right and bottom in pixels of the page image.
    box: tuple[float, float, float, float]
    #: From 0 to 1; None where the recogniser does not say.
    confidence: float | None = None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line of text as it stands on the page."""

    text: str
    #: The four corners (x, y) in pixels of the page image, clockwise from the start of the text.
    box: tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]
    confidence: float | None = None
    #: In reading order; empty where the source does not know them.
    words: tuple[Word, ...] = ()


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """A cell of a table."""

    #: The first row that the cell covers, from 0.
    row: int
    #: The first column that the cell covers, from 0.
    column: int
    text: str = ""
    row_span: int = 1
    column_span: int = 1
    #: The cell heads its column or its row.
    header: bool = False
    #: Left, top, right and bottom in pixels of the page image.
    box: tuple[float, float, float, float] | None = None


class PageBlock(msgspec.Struct, frozen=True, kw_only=True):
    """A block of a page: its kind, and its text or cells."""

    #: Unique on its page.
    id: str
    #: "title", "heading", "paragraph", "list_item", "table", "formula", "figure", "caption", "page_header",
    #: "page_footer", "page_number", "footnote", "check_box" or "code".
    kind: str
    #: The text without markup; empty for a table, whose text is in its cells.
    text: str = ""
    #: Of a heading from 1, the highest; of a list item its depth from 1.
    level: int | None = None
    #: The bullet or number of a list item, as printed.
    marker: str = ""
    #: Whether a check box is ticked.
    checked: bool | None = None
    #: Of a table, row by row.
    cells: tuple[Cell, ...] = ()
    #: Of a formula, without delimiters.
    latex: str = ""
    #: The block as a model wrote it; empty where the source writes no Markdown.
    markdown: str = ""
    #: Left, top, right and bottom in pixels of the page image; None where the source knows no places.
    box: tuple[float, float, float, float] | None = None
    confidence: float | None = None
    #: In reading order.
    lines: tuple[Line, ...] = ()
    #: Of a table: its cells as HTML.
    html: str = ""


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why the trust in a page is low, or why there is no figure."""

    code: str
    #: The same as a sentence.
    text: str


class PageTrust(msgspec.Struct, frozen=True, kw_only=True):
    """How far the text of a page can be relied on."""

    #: Agreement of words with a second reading, from 0 to 1; None where they were not compared.
    figure: float | None
    #: Agreement of numbers; None where they were not compared.
    numbers: float | None
    #: The second reading: "text_layer", "ocr" or "spot_check"; None where there is none.
    against: str | None
    #: The recogniser's own mean confidence; None where it has none.
    confidence: float | None
    #: The share of the printed lines that could not be read; None where none.
    unreadable: float | None
    #: The script of a page with lines left out, where known.
    script: str | None
    #: Whether the text should be compared with the image.
    check: bool
    reasons: tuple[Reason, ...]


class LayerReport(msgspec.Struct, frozen=True, kw_only=True):
    """The judgement on a page's own text, and the figures that it rests on. Shares are from 0 to 1."""

    #: "trusted", or why the page was recognised instead.
    verdict: str
    #: Without spaces.
    characters: int
    meaningless: float = 0.0
    unmapped: float = 0.0
    invisible: float = 0.0
    unseen: float = 0.0
    picture: float = 0.0
    missing: float = 0.0
    #: How many pieces of lines were recognised for comparison.
    compared: int = 0
    agreement: float | None = None
    numbers: float | None = None
    readable: float | None = None
    script: str | None = None


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """One try at a page by a generative engine, or by its fallback."""

    engine: str
    #: One word for how the try ended.
    ending: str
    temperature: float = 0.0
    scale: float = 1.0
    tokens: int = 0
    seconds: float = 0.0


class PageReading(msgspec.Struct, frozen=True, kw_only=True):
    """One of the readings of a page, in short."""

    #: The run of the job in which the page was read: `Client.page(job_id, number, run=...)` has the whole of it.
    run: int
    #: "completed" or "failed".
    status: str
    engine: str | None
    #: "ocr", "model" or "text_layer"; None where it is not known.
    source: str | None
    dpi: int | None
    #: Of the engine's time.
    seconds: float
    completed_at: datetime | None
    #: Why it failed.
    error: str | None


class PageDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What was read on a page, and by what."""

    #: In the document, from 1.
    page_no: int
    #: The run of the job in which the page was read.
    run: int
    #: "completed" or "failed".
    status: str
    #: Nothing is printed on the page.
    blank: bool
    #: Why the page failed.
    error: str | None
    #: "ocr", "model" or "text_layer"; None where it is not known.
    source: str | None
    #: None where the page could not be rendered.
    engine: str | None
    revision: str | None
    device: str | None
    #: How often the page was begun.
    attempts: int
    finish: str | None
    #: Why another engine was tried than the one asked.
    fallback: str | None
    #: Of the engine's time.
    seconds: float
    started_at: datetime | None
    completed_at: datetime | None
    #: Of the page image in pixels.
    width: int | None
    #: Of the page image in pixels.
    height: int | None
    dpi: int | None
    #: Clockwise turn that set the page upright, in degrees.
    rotation: int
    #: Further small turn, in degrees.
    skew: float
    #: None for a page without text.
    trust: PageTrust | None
    text_layer: LayerReport | None
    #: In reading order.
    blocks: tuple[PageBlock, ...]
    #: Without running heads, running feet and page numbers.
    markdown: str
    #: What to know before relying on the page.
    warnings: tuple[str, ...]
    tries: tuple[Try, ...]
    #: What all tries took.
    tokens: int
    #: The name of the page image that was read; empty where the service is too old to say.
    image: str = ""
    #: All readings of the page, this one included, by run; empty where the service is too old to keep them.
    readings: tuple[PageReading, ...] = ()
    #: The same as `markdown`.
    text: str = ""
    #: The lines of all blocks.
    lines: tuple[Line, ...] = ()
