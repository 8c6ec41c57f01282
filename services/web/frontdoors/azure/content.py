"""A page as a part of Azure's `content`, and where in it each block, line and word stands.

Offsets count code points from the start of the page. What a span covers is the word as it is written: in Markdown with
the escapes that keep it from being markup.
"""

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

import msgspec

from libs.page.block import RUNNING_KINDS, Block, BlockKind, Cell
from libs.page.dialect import TAGS
from libs.page.markdown import MarkdownOptions, Part, markdown_parts
from libs.page.text import text_parts
from services.web.frontdoors.printed import PrintedLine, PrintedWord, cell_lines, printed_lines

# The words of a block that a model wrote are looked for in what it wrote. Chosen: so many that are not there, in
# markup that is not known, and the rest of the block's words have the whole block as their place; and so many places
# for a word.
_MAX_UNFOUND, _MAX_PLACES = 50, 200

_ALL_WITH_HEADERS = MarkdownOptions(headers=True)
# How Azure writes them in Markdown.
_COMMENTS = {
    BlockKind.PAGE_HEADER: "PageHeader",
    BlockKind.PAGE_FOOTER: "PageFooter",
    BlockKind.PAGE_NUMBER: "PageNumber",
}
_TAG = re.compile(r"</?([A-Za-z][\w-]*)\b[^<>]*>")
_MARK = re.compile(r"[☐☑☒]|\[[ xX]\]")
_MASK = "\0"
_MARKUP = frozenset("*_~`\\" + _MASK)


class ContentFormat(StrEnum):
    """How `content` is written."""

    #: Without markup.
    TEXT = "text"
    MARKDOWN = "markdown"


class Stretch(NamedTuple):
    """A part of the page's text."""

    start: int
    end: int


class WrittenWord(NamedTuple):
    """A word, and where it is written."""

    word: PrintedWord
    at: Stretch


class WrittenLine(NamedTuple):
    """A line, and where its words are written."""

    line: PrintedLine
    words: tuple[WrittenWord, ...]

    @property
    def at(self) -> Stretch:
        """From the first word to the last."""
        return Stretch(self.words[0].at.start, max(word.at.end for word in self.words))


class WrittenBlock(NamedTuple):
    """A block, and where it is written."""

    block: Block
    at: Stretch
    lines: tuple[WrittenLine, ...]
    #: Of a table, row by row, with the lines of each.
    cells: tuple[tuple[Cell, tuple[WrittenLine, ...]], ...]
    #: The box of a check box.
    mark: Stretch | None


class WrittenPage(NamedTuple):
    """The text of a page, and its blocks in the order in which they are written."""

    text: str
    blocks: tuple[WrittenBlock, ...]


def write(blocks: Sequence[Block], content_format: ContentFormat) -> WrittenPage:
    """The page with its running heads and feet, which Markdown has as comments, as Azure writes them."""
    if content_format is ContentFormat.TEXT:
        parts = text_parts(blocks, headers=True)
    else:
        parts = map(_commented, markdown_parts(blocks, _ALL_WITH_HEADERS))
    text: list[str] = []
    found: list[WrittenBlock] = []
    length = 0
    for part in parts:
        start = length + len(part.before)
        found.append(_written(part, start, content_format))
        text += (part.before, part.text)
        length = start + len(part.text)
    return WrittenPage("".join(text), tuple(found))


def _commented(part: Part) -> Part:
    kind = _COMMENTS.get(part.block.kind)
    if kind is None:
        return part
    # The words as they are; only what would end the comment is escaped.
    text = " ".join(part.block.text.split()).replace("-->", "--&gt;")
    return part._replace(text=f'<!-- {kind}="{text}" -->')


def _written(part: Part, start: int, content_format: ContentFormat) -> WrittenBlock:
    block = part.block
    search = _Search(part, start, _Writing.of(block, content_format))
    if block.kind is BlockKind.TABLE and block.cells:
        cells = tuple((cell, tuple(map(search.line, lines))) for cell, lines in cell_lines(block))
        lines = tuple(line for _, own in cells for line in own)
    else:
        as_latex = bool(block.latex) and content_format is ContentFormat.MARKDOWN
        shown = msgspec.structs.replace(block, text="") if as_latex else block
        cells, lines = (), tuple(map(search.line, printed_lines(shown)))
    mark = _MARK.search(part.text) if block.kind is BlockKind.CHECK_BOX else None
    at = Stretch(start, start + len(part.text))
    return WrittenBlock(block, at, lines, cells, Stretch(start + mark.start(), start + mark.end()) if mark else None)


class _Writing(NamedTuple):
    """How the characters of a block are written."""

    #: The entities that stand for characters.
    entities: dict[str, str]
    #: A backslash before punctuation takes its meaning away.
    escapes: bool
    #: A model wrote it, with markup between words and in them.
    by_model: bool
    #: Characters before the text.
    prefix: re.Pattern[str] | None = None

    @classmethod
    def of(cls, block: Block, content_format: ContentFormat) -> "_Writing":
        entities = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
        if content_format is ContentFormat.TEXT:
            prefix = None
            if block.kind is BlockKind.LIST_ITEM:
                prefix = re.compile(rf" *{re.escape(block.marker or '-')} ")
            elif block.kind is BlockKind.CHECK_BOX:
                prefix = re.compile("[☐☑] ")
            return cls({}, False, False, prefix)
        if block.kind in RUNNING_KINDS:
            return cls({">": "&gt;"}, False, False, re.compile('<!-- [A-Za-z]+="'))
        if block.markdown:
            return cls(entities, True, True)
        match block.kind:
            case BlockKind.TABLE:
                return cls(entities, False, False)
            case BlockKind.CODE:
                return cls({}, False, False, re.compile("`+\n"))
            case BlockKind.FORMULA if block.latex:
                return cls({}, False, False, re.compile(r"\$\$\n"))
            case BlockKind.TITLE | BlockKind.HEADING:
                return cls(entities, True, False, re.compile("#+ "))
            case BlockKind.CHECK_BOX:
                return cls(entities, True, False, re.compile("[☐☑] "))
            case BlockKind.LIST_ITEM:
                marker = rf"(?:\\|&gt;)?{re.escape(block.marker.removeprefix('>'))} "
                counted = any(map(str.isalnum, block.marker))
                return cls(
                    entities,
                    True,
                    False,
                    re.compile(rf" *(?:\d{{1,9}}\\?[.)] |- {f'(?:{marker})?' if counted else ''})"),
                )
        return cls(entities, True, False)


class _Search:
    """Finds the words of a block, one after the other, in what is written for it."""

    def __init__(self, part: Part, start: int, writing: _Writing) -> None:
        self._writing = writing
        self._start = start
        self._text = part.text
        if writing.by_model or (part.block.kind is BlockKind.TABLE and writing.entities) or _is_image(part, writing):
            self._text = _TAG.sub(_masked, part.text)
        prefix = writing.prefix.match(part.text) if writing.prefix else None
        self._at = prefix.end() if prefix else 0
        self._unfound = 0

    def line(self, line: PrintedLine) -> WrittenLine:
        """The line with the places of its words."""
        return WrittenLine(line, tuple(WrittenWord(word, self._word(word.text)) for word in line.words))

    def _word(self, word: str) -> Stretch:
        candidates = islice(self._candidates(word), _MAX_PLACES)
        found = next(filter(None, (self._match(at, word) for at in candidates)), None)
        if found is None:
            self._unfound += 1
            return Stretch(self._start, self._start + len(self._text))
        self._at = found.end
        return Stretch(self._start + found.start, self._start + found.end)

    def _candidates(self, word: str) -> Iterator[int]:
        """Where the word may begin."""
        text, at = self._text, self._at
        while at < len(text) and (text[at].isspace() or text[at] == _MASK):
            at += 1
        yield at
        if self._writing.by_model and self._unfound < _MAX_UNFOUND:
            at = text.find(word[0], at + 1)
            while at >= 0:
                yield at
                at = text.find(word[0], at + 1)

    def _match(self, start: int, word: str) -> Stretch | None:
        """The word as it is written from `start` on; None where another text stands there."""
        text, (entities, escapes, by_model, _) = self._text, self._writing
        at = start
        for number, character in enumerate(word):
            while True:
                entity = entities.get(character)
                if entity and text.startswith(entity, at):
                    at += len(entity)
                elif escapes and text[at : at + 1] == "\\" and text[at + 1 : at + 2] == character:
                    at += 2
                elif text[at : at + 1] == character:
                    at += 1
                elif by_model and number and text[at : at + 1] in _MARKUP and at < len(text):
                    at += 1
                    continue
                elif by_model and not number and text[at : at + 1] in _MARKUP and at < len(text):
                    at += 1
                    start = at
                    continue
                elif escapes and text[at : at + 1] == "\\":
                    at += 1
                    continue
                else:
                    return None
                break
        return Stretch(start, at)


def _is_image(part: Part, writing: _Writing) -> bool:
    return part.block.kind is BlockKind.FIGURE and bool(writing.entities)


def _masked(tag: re.Match[str]) -> str:
    return _MASK * len(tag.group()) if tag.group(1).lower() in TAGS else tag.group()
