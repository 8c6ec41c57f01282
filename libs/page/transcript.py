"""The Markdown that a model wrote for a page, as blocks.

Nothing is lost: each block keeps the lines that it was written on, so that the Markdown of all blocks has every
character of the page's Markdown but for white space between blocks. Where on the page a block stands is not known.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

import msgspec
from markdown_it.token import Token

from libs.page.block import Block, BlockKind, Cell
from libs.page.dialect import IMAGE, MATH, image_description, markdown_parser
from libs.page.raw_html import html_text, table_cells

_TABLE = re.compile(r"<table\b[^<>]*>.*?</table\s*>", re.IGNORECASE | re.DOTALL)
_CAPTION = re.compile(r"<caption\b[^<>]*>(.*?)</caption\s*>\s*", re.IGNORECASE | re.DOTALL)
_PAGE_NUMBER = re.compile(r"\s*<page_number\s*>([^<]*)</page_number\s*>\s*", re.IGNORECASE)
_FOOTNOTE = re.compile(r"\[\^[^\]\s]+\]:")
_TASK = re.compile(r"\[([ xX])\](?:\s+|$)")
_EMPTY_BOX, _TICKED_BOXES = "☐", "☑☒"

_parser = markdown_parser()


def parse(markdown: str) -> tuple[Block, ...]:
    """The blocks in the order in which they are written; each has its own Markdown in `Block.markdown`."""
    return tuple(_Parsing(markdown.replace("\r\n", "\n").replace("\r", "\n")).blocks())


class _Parsing:
    def __init__(self, source: str) -> None:
        self._source = source
        self._lines = source.split("\n")

    def blocks(self) -> list[Block]:
        found: list[Block] = []
        line = 0
        for tokens in _siblings(_parser.parse(self._source)):
            start, end = tokens[0].map or (line, line)
            found.extend(self._unparsed(line, start))
            if tokens[0].type == "hr" and found:
                # A rule is no block of its own: it belongs to what it stands below.
                found[-1] = msgspec.structs.replace(
                    found[-1], markdown=f"{found[-1].markdown}\n\n{self._slice(start, end)}"
                )
            else:
                found.extend(self._block(tokens, start, end))
            line = max(line, end)
        found.extend(self._unparsed(line, len(self._lines)))
        return found

    def _slice(self, start: int, end: int) -> str:
        return "\n".join(self._lines[start:end]).strip("\n").rstrip()

    def _unparsed(self, start: int, end: int) -> Iterator[Block]:
        """Lines that belong to no token; the parser leaves none but empty ones, as far as is known."""
        if text := self._slice(start, end).strip():
            yield Block(kind=BlockKind.PARAGRAPH, text=text, markdown=self._slice(start, end))

    def _block(self, tokens: Sequence[Token], start: int, end: int) -> Iterator[Block]:
        first, written = tokens[0], self._slice(start, end)
        match first.type:
            case "heading_open":
                level = int(first.tag[1:])
                kind = BlockKind.TITLE if level == 1 else BlockKind.HEADING
                yield Block(kind=kind, level=level, text=_text(tokens), markdown=written)
            case "paragraph_open":
                yield from _paragraph(tokens, written)
            case "bullet_list_open" | "ordered_list_open":
                yield from self._list(tokens, start, end, depth=1)
            case "table_open":
                yield Block(kind=BlockKind.TABLE, cells=tuple(_pipe_cells(tokens)), markdown=written)
            case "fence":
                yield Block(kind=BlockKind.CODE, text=first.content.rstrip("\n"), markdown=written)
            case "math_block":
                yield Block(kind=BlockKind.FORMULA, latex=_latex(first.content), markdown=written)
            case "html_block":
                yield from _html(written)
            case _:
                yield Block(kind=BlockKind.PARAGRAPH, text=_text(tokens), markdown=written)

    def _list(self, tokens: Sequence[Token], start: int, end: int, *, depth: int) -> Iterator[Block]:
        """The items of a list, each followed by those of the lists in it."""
        for item in _siblings(tokens[1:-1]):
            first, last = item[0].map or (start, end)
            own: list[Token] = []
            line = first
            begun = False
            for part in _siblings(item[1:-1]):
                inner = part[0].map or (line, line)
                if part[0].type not in ("bullet_list_open", "ordered_list_open"):
                    own.extend(part)
                    continue
                yield from self._item(item[0], own, line, inner[0], depth=depth, begun=begun)
                yield from self._list(part, *inner, depth=depth + 1)
                own, line, begun = [], inner[1], True
            yield from self._item(item[0], own, line, last, depth=depth, begun=begun)

    def _item(
        self, item: Token, own: Sequence[Token], start: int, end: int, *, depth: int, begun: bool
    ) -> Iterator[Block]:
        """An item up to a list in it, or what `begun` items have after one."""
        written, text = self._slice(start, end), _text(own)
        if begun:
            if written.strip():
                yield Block(kind=BlockKind.PARAGRAPH, text=text, markdown=written)
            return
        task = _TASK.match(text)
        if task is not None or text[:1] in {_EMPTY_BOX, *_TICKED_BOXES}:
            ticked = task[1] != " " if task else text[0] in _TICKED_BOXES
            label = text[task.end() if task else 1 :].strip()
            yield Block(kind=BlockKind.CHECK_BOX, text=label, checked=ticked, level=depth, markdown=written)
            return
        marker = f"{item.info}{item.markup}"
        yield Block(kind=BlockKind.LIST_ITEM, text=text, level=depth, marker=marker, markdown=written)


def _siblings(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """The tokens by the outermost elements that they make up."""
    start = depth = 0
    for at, token in enumerate(tokens):
        depth += token.nesting
        if depth == 0:
            yield tokens[start : at + 1]
            start = at + 1


def _text(tokens: Sequence[Token]) -> str:
    """The text of these tokens without markup, a line for each written one."""
    parts = []
    for token in tokens:
        if token.type == "inline":
            parts.append("".join(map(_inline, token.children or [])))
        elif token.type in ("fence", "math_block"):
            parts.append(token.content.rstrip("\n"))
        elif token.type == "html_block":
            parts.append(html_text(token.content))
    return "\n".join(parts).strip()


def _inline(token: Token) -> str:
    match token.type:
        case "softbreak" | "hardbreak":
            return "\n"
        case "html_inline":
            return html_text(token.content)
        case "image":
            return "".join(map(_inline, token.children or []))
    return token.content


def _paragraph(tokens: Sequence[Token], written: str) -> Iterator[Block]:
    if _PAGE_NUMBER.fullmatch(written):
        yield _page_number(written)
        return
    lines = written.split("\n")
    if any(map(_PAGE_NUMBER.fullmatch, lines)):
        # Models write the page's number right below the text, and it is no part of the sentence.
        for are_numbers, run in groupby(lines, key=lambda line: _PAGE_NUMBER.fullmatch(line) is not None):
            together = list(run)
            yield from map(_page_number, together) if are_numbers else parse("\n".join(together))
        return
    text = _text(tokens)
    if (image := IMAGE.fullmatch(written.strip())) is not None:
        yield _figure(image, written)
    elif _FOOTNOTE.match(written):
        yield Block(kind=BlockKind.FOOTNOTE, text=text, markdown=written)
    elif _are_boxes(shown := text.split("\n")) and len(shown) == len(lines):
        for line, source in zip(shown, lines, strict=True):
            ticked = line[0] in _TICKED_BOXES
            yield Block(kind=BlockKind.CHECK_BOX, text=line[1:].strip(), checked=ticked, markdown=source)
    else:
        yield Block(kind=BlockKind.PARAGRAPH, text=text, markdown=written)


def _are_boxes(lines: Sequence[str]) -> bool:
    return all(line[:1] in {_EMPTY_BOX, *_TICKED_BOXES} for line in lines)


def _page_number(written: str) -> Block:
    return Block(kind=BlockKind.PAGE_NUMBER, text=html_text(written).strip(), markdown=written)


def _figure(image: re.Match[str], written: str) -> Block:
    return Block(kind=BlockKind.FIGURE, text=html_text(image_description(*image.groups())).strip(), markdown=written)


def _latex(written: str) -> str:
    opening, closing = next(pair for pair in MATH if written.startswith(pair[0]))
    return written.removeprefix(opening).removesuffix(closing).strip()


def _pipe_cells(tokens: Sequence[Token]) -> Iterator[Cell]:
    row, column = -1, 0
    for at, token in enumerate(tokens):
        if token.type == "tr_open":
            row, column = row + 1, 0
        elif token.type in ("th_open", "td_open"):
            header = token.type == "th_open"
            yield Cell(row=row, column=column, text=_text(tokens[at + 1 : at + 2]), header=header)
            column += 1


def _html(written: str) -> Iterator[Block]:
    """Raw HTML: its tables, and what stands between them, which models mean as Markdown again."""
    # Up to the last end of a table: looking for the end of each unclosed one would cost quadratic time.
    closed = written.lower().rfind("</table")
    tables = list(_TABLE.finditer(written, 0, written.find(">", closed) + 1)) if closed >= 0 else []
    if not tables:
        yield from _other_html(written)
        return
    at = 0
    for table in tables:
        yield from parse(written[at : table.start()])
        yield from _html_table(table.group())
        at = table.end()
    yield from parse(written[at:])


def _other_html(written: str) -> Iterator[Block]:
    written = written.strip()
    if _PAGE_NUMBER.fullmatch(written):
        yield _page_number(written)
    elif (image := IMAGE.fullmatch(written)) is not None:
        yield _figure(image, written)
    else:
        yield Block(kind=BlockKind.PARAGRAPH, text=html_text(written).strip(), markdown=written)


def _html_table(written: str) -> Iterator[Block]:
    for caption in _CAPTION.findall(written):
        yield Block(kind=BlockKind.CAPTION, text=html_text(caption).strip())
    written = _CAPTION.sub("", written)
    if (cells := table_cells(written)) is None:
        yield Block(kind=BlockKind.PARAGRAPH, text=html_text(written).strip(), markdown=written)
    else:
        yield Block(kind=BlockKind.TABLE, cells=cells, markdown=written)
