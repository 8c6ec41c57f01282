"""What a PDF says of a page: words, rules, filled boxes and pictures, from MuPDF's structured text of its drawing."""

import itertools
import math
import re
import unicodedata
from typing import Any

import msgspec
import pymupdf

from libs.textlayer import MAX_SPAN_CHARACTERS, Box, Fill, LayerLine, PageLayer, Span, Style

# PyMuPDF is typed in part only.
mupdf: Any = pymupdf
_stext: Any = pymupdf.mupdf

# Without `FZ_STEXT_USE_CID_FOR_UNKNOWN_UNICODE`: a character of a font without a Unicode map becomes U+FFFD, not a
# number that passes for a letter. Without `FZ_STEXT_COLLECT_STYLES`, whose time grows with the square of the
# characters (30,000: 1.5 s). `FZ_STEXT_CLIP` leaves out what a clipping path hides.
_TEXT = mupdf.TEXT_PRESERVE_IMAGES | _stext.FZ_STEXT_CLIP
_DRAWINGS = _stext.FZ_STEXT_COLLECT_VECTORS
# Blocks of structured text past which a page's drawings are left out. Chosen: above the cells of any table; beyond it
# the page is a map or a plot, whose paths take seconds and say nothing of its text.
_MAX_BLOCKS = 4_000
# Characters of structured text as XML past which the page has no layer. Chosen: 155 for each character of the page, so
# three times a newspaper page, and less than a second of work.
_MAX_XML = 15_000_000
# Entries of each kind of drawing that are kept, the first of them.
_MAX_DRAWINGS = 2_000

# How far a line reaches above and below its baseline, in font sizes. Chosen: the usual ascent and descent. MuPDF's own
# boxes use each font's figures, which differ by a factor of two for text of one size.
_ASCENT, _DESCENT = 0.8, 0.22
# By how much the origin of a character that is set in columns is below its upper edge, in font sizes, where the font
# does not say (ISO 32000-1, 9.7.4.3). MuPDF's boxes of such characters begin at the origin.
_VERTICAL_ORIGIN = 0.88

# In font sizes: the gap between two characters from which they are not of one span. Chosen: above the width of a digit,
# so that a number after a word is cut off where a space is printed between them.
_JUMP = 0.5

# Flags of a character. Neither of the first two is set where it leaves no mark, as where OCR lays it over a scan.
_MARKS = _stext.FZ_STEXT_FILLED | _stext.FZ_STEXT_STROKED
_BOLD = re.compile("bold|black|heavy", re.IGNORECASE)
_ITALIC = re.compile("ital|obli", re.IGNORECASE)

# Points. A box of a drawing is a rule where it is at most so thick and at least so long. Chosen: thicker ones are
# filled areas, shorter ones dots and parts of letters.
_MAX_RULE, _MIN_RULE = 2.5, 6.0
# A picture of this share of the page's area hides the text that was drawn before it, as OCR puts text under a scan.
# Chosen: smaller ones are figures and backgrounds, which may be transparent. Of so many pictures the first count: each
# costs a look at all lines.
_HIDING = 0.5
_MAX_HIDING = 20
# Grey values from which a fill is taken for paper.
_PAPER = 250

_ENTITIES = {"&lt;": "<", "&gt;": ">", "&amp;": "&", "&quot;": '"', "&apos;": "'"}
_TOKEN = re.compile(
    r'<char c="(?P<c>[^"]*)"(?: hexc="[^"]*")? quad="(?P<quad>[^"]*)" x="(?P<x>[^"]*)" y="(?P<y>[^"]*)"'
    r' bidi="(?P<bidi>\d+)" color="[^"]*" alpha="#(?P<alpha>[^"]*)" flags="(?P<flags>\d+)"/>'
    r'|<font name="(?P<font>[^"]*)" size="(?P<size>[^"]*)">'
    r'|<line bbox="[^"]*" wmode="(?P<wmode>\d)" dir="(?P<dir>[^"]*)"'
    r'|<image bbox="(?P<image>[^"]*)"'
    r'|<vector bbox="(?P<vector>[^"]*)" stroke="(?P<stroke>\d)" rectangle="(?P<rectangle>\d)"[^>]*argb="(?P<argb>\w+)"'
)


def page_layer(drawing: Any, scale: float, width: int, height: int) -> PageLayer | None:
    """The layer of the page in a `pymupdf.DisplayList`, or None for a page without text.

    `scale` is pixels per point; `width` and `height` are those of the page image. Text that was cropped away is left
    out. Never fails: the page's image is needed, its layer only useful.
    """
    try:
        text = _structured_text(drawing)
        return _Reader(drawing.rect, scale, width, height).read(text) if text else None
    except Exception:  # MuPDF raises a class of its own for each fault that a document can have
        return None


def _structured_text(drawing: Any) -> str:
    page = mupdf.TextPage(drawing.get_textpage(flags=_TEXT | _DRAWINGS))
    if any(True for _ in itertools.islice(page.this, _MAX_BLOCKS, None)):
        page = mupdf.TextPage(drawing.get_textpage(flags=_TEXT))
    xml = str(page.extractXML())
    return xml if len(xml) <= _MAX_XML else ""


class _Reader:
    """Collects the layer of one page from MuPDF's XML."""

    def __init__(self, page: Any, scale: float, width: int, height: int) -> None:
        self._left, self._top = page.x0, page.y0
        self._scale = scale
        self._width, self._height = width, height
        self._styles: dict[Style, int] = {}
        self._fonts: dict[str, int] = {}
        self._lines: list[LayerLine] = []
        self._pictures: list[Box] = []
        self._hiding = 0
        self._rules: list[Box] = []
        self._fills: list[Fill] = []
        # Of the line that is being read.
        self._turn = 0
        self._vertical = False
        self._spans: list[Span] = []
        # Of the span that is being read.
        self._text: list[str] = []
        self._held: list[str] = []
        self._first: re.Match[str] | None = None
        self._last: re.Match[str] | None = None
        self._style = -1
        self._spaced = False
        # Of the font that is being read: its size, and the indices of its styles once known, visible and invisible.
        self._font, self._size = "", 0.0
        self._known: list[int | None] = [None, None]

    def read(self, xml: str) -> PageLayer | None:
        """The layer in this XML."""
        for token in _TOKEN.finditer(xml):
            match token.lastgroup:
                case "flags":
                    self._add_character(token)
                case "size":
                    self._font, self._size = token["font"], float(token["size"]) * self._scale
                    self._known = [None, None]
                case "dir":
                    self._begin_line(token)
                case "image":
                    self._add_picture(token)
                case _:
                    self._add_drawing(token)
        self._end_line()
        if not self._lines:
            return None
        return PageLayer(
            width=self._width,
            height=self._height,
            styles=tuple(self._styles),
            lines=tuple(self._lines),
            pictures=tuple(self._pictures[:_MAX_DRAWINGS]),
            rules=tuple(self._rules[:_MAX_DRAWINGS]),
            fills=tuple(self._fills[:_MAX_DRAWINGS]),
        )

    def _points(self, numbers: str) -> tuple[float, ...]:
        """Coordinates x, y, x, y ... in points as pixels of the page image."""
        found = [float(number) * self._scale for number in numbers.split()]
        left, top = self._left * self._scale, self._top * self._scale
        return tuple(value - (top if i % 2 else left) for i, value in enumerate(found))

    def _add_picture(self, token: re.Match[str]) -> None:
        for box in self._clipped(self._points(token["image"])):
            self._pictures.append(box)
            if _area(box) >= _HIDING * self._width * self._height and self._hiding < _MAX_HIDING:
                self._hiding += 1
                self._end_line()
                self._lines = [self._hidden(line, box) for line in self._lines]

    def _hidden(self, line: LayerLine, picture: Box) -> LayerLine:
        """The line, its spans invisible where a picture was laid over them."""
        spans: list[Span] = []
        styles = list(self._styles)
        for span in line.spans:
            style = span.style
            left, top, right, bottom = span.box
            if picture[0] <= (left + right) / 2 <= picture[2] and picture[1] <= (top + bottom) / 2 <= picture[3]:
                hidden = msgspec.structs.replace(styles[style], invisible=True)
                style = self._styles.setdefault(hidden, len(self._styles))
            spans.append(msgspec.structs.replace(span, style=style))
        return msgspec.structs.replace(line, spans=tuple(spans))

    def _begin_line(self, token: re.Match[str]) -> None:
        self._end_line()
        across, down = map(float, token["dir"].split())
        self._turn = round(math.degrees(math.atan2(down, across))) % 360
        self._vertical = token["wmode"] == "1"

    def _add_character(self, token: re.Match[str]) -> None:
        character = _character(token["c"])
        if not character.strip():
            self._end_span()
            self._spaced = True
            return
        invisible = not int(token["flags"]) & _MARKS or token["alpha"] == "00"
        style = self._known[invisible]
        if style is None:
            style = self._known[invisible] = self._style_of(invisible)
        if self._last is not None and self._jumps(self._last, token):
            self._end_span()
        if style != self._style or len(self._text) >= MAX_SPAN_CHARACTERS - 1:
            self._end_span()
            self._style = style
        if _continues_ligature(character, token):
            self._held.append(character)
            return
        self._first = self._first or token
        self._last = token
        self._text.append(character)
        self._text.extend(reversed(self._held))
        self._held.clear()

    def _jumps(self, last: re.Match[str], token: re.Match[str]) -> bool:
        """Whether the character is not beside the last one: MuPDF orders text that runs to the left by letters."""
        if self._turn or self._vertical:
            return False
        (left, _, right, _), (last_left, _, last_right, _) = (one["quad"].split(" ", 4)[:4] for one in (token, last))
        gap = max(float(left) - float(last_right), float(last_left) - float(right))
        return gap * self._scale > _JUMP * self._size

    def _style_of(self, invisible: bool) -> int:
        font = self._fonts.setdefault(self._font, len(self._fonts))
        style = Style(
            font=font,
            size=round(min(self._size, self._height), 1),
            bold=bool(_BOLD.search(self._font)),
            italic=bool(_ITALIC.search(self._font)),
            invisible=invisible,
        )
        return self._styles.setdefault(style, len(self._styles))

    def _end_span(self) -> None:
        if self._first is not None and self._last is not None:
            text = "".join(self._text)
            left, top, right, bottom = box = self._extent(self._first, self._last)
            # A span whose middle is off the page was cropped away.
            if 0 <= left + right <= 2 * self._width and 0 <= top + bottom <= 2 * self._height:
                text = f" {text}" if self._spaced and self._spans else text
                self._spans.extend(Span(text=text, box=clipped, style=self._style) for clipped in self._clipped(box))
            self._spaced = False
        self._text.clear()
        self._held.clear()
        self._first = self._last = None

    def _extent(self, first: re.Match[str], last: re.Match[str]) -> tuple[float, float, float, float]:
        """The box from one character to another: as wide as their own quads, across the line by the font's size."""
        quads = self._points(f"{first['quad']} {last['quad']}")
        xs, ys = quads[::2], quads[1::2]
        left, top, right, bottom = min(xs), min(ys), max(xs), max(ys)
        x, y = self._points(f"{first['x']} {first['y']}")
        above, below = _ASCENT * self._size, _DESCENT * self._size
        if self._vertical:
            over = _VERTICAL_ORIGIN * self._size if self._turn == 90 else 0.0
            return left, top - over, right, bottom - over
        match self._turn:
            case 0:
                return left, y - above, right, y + below
            case 90:
                return x - below, top, x + above, bottom
            case 180:
                return left, y - below, right, y + above
            case 270:
                return x - above, top, x + below, bottom
        return left, top, right, bottom

    def _end_line(self) -> None:
        self._end_span()
        if self._spans:
            self._lines.append(LayerLine(turn=self._turn, spans=tuple(self._spans), vertical=self._vertical))
        self._spans = []
        self._spaced = False

    def _add_drawing(self, token: re.Match[str]) -> None:
        left, top, right, bottom = self._points(token["vector"])
        thick, long = _MAX_RULE * self._scale, _MIN_RULE * self._scale
        width, height = right - left, bottom - top
        if min(width, height) <= thick:
            if max(width, height) >= long:
                self._rules.extend(self._clipped((left, top, right, bottom)))
        elif token["stroke"] == "1":
            if token["rectangle"] == "1":
                for edge in ((left, top, right, top), (left, bottom, right, bottom)):
                    self._rules.extend(self._clipped(edge))
                for edge in ((left, top, left, bottom), (right, top, right, bottom)):
                    self._rules.extend(self._clipped(edge))
        elif (grey := _grey(int(token["argb"], 16))) < _PAPER:
            self._fills.extend(Fill(box=box, grey=grey) for box in self._clipped((left, top, right, bottom)))

    def _clipped(self, box: tuple[float, ...]) -> list[Box]:
        """The part of the box that is on the page, rounded as it is stored; none where there is none."""
        left, top, right, bottom = box
        # MuPDF gives the box of a picture that a clipping path hides with its right edge on the left.
        if not all(map(math.isfinite, box)) or left > right or top > bottom:
            return []
        if right < 0 or bottom < 0 or left > self._width or top > self._height:
            return []
        return [
            (
                round(max(left, 0.0), 1),
                round(max(top, 0.0), 1),
                round(min(right, self._width), 1),
                round(min(bottom, self._height), 1),
            )
        ]


def _continues_ligature(character: str, token: re.Match[str]) -> bool:
    """Whether it is a further letter of a right-to-left ligature, which MuPDF puts before the first.

    MuPDF gives such letters no width. It turns a line that runs to the left round letter by letter, so that "la" of a
    lam-alef ligature becomes "al". Vowel signs have no width either, and are where they belong.
    """
    if not int(token["bidi"]) & 1 or unicodedata.category(character) == "Mn":
        return False
    left, top, right, right_top, _ = token["quad"].split(" ", 4)
    return (left, top) == (right, right_top)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _character(written: str) -> str:
    """A character as it is written in the XML; control characters too, which `html.unescape` drops."""
    if written.startswith("&#x"):
        code = int(written[3:-1], 16)
        return "\ufffd" if 0xD800 <= code <= 0xDFFF else chr(code)
    return _ENTITIES.get(written, written)


def _grey(argb: int) -> int:
    """The grey value of a colour on white paper, by ITU-R BT.601."""
    alpha, red, green, blue = (argb >> shift & 255 for shift in (24, 16, 8, 0))
    grey = 0.299 * red + 0.587 * green + 0.114 * blue
    return round(255 - (255 - grey) * alpha / 255)
