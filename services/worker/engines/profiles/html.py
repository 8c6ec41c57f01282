"""HTML that a model writes for a part of a page, as Markdown of our dialect."""

import re
from html.parser import HTMLParser

from libs.page.dialect import TAGS, escape_unknown
from libs.page.markdown import escape

# Levels of lists that are told apart: the indentation of more would take far more text than the page.
_MAX_DEPTH = 8
_KNOWN = TAGS | {"div", "span", "big", "math", "chem", "input"}
_TABLE = re.compile(r"<table\b[^<>]*>.*?</table\s*>", re.IGNORECASE | re.DOTALL)
_MATH = re.compile(r"<math\b[^<>]*>(.*?)</math\s*>", re.IGNORECASE | re.DOTALL)
_BOX = re.compile(r"<input\b([^<>]*)>", re.IGNORECASE)
_CHECKED = re.compile(r"\bchecked\b", re.IGNORECASE)
# The parser takes all up to the next ">" for the end of a tag.
_ODD_END = re.compile(r"</(?![A-Za-z][\w:.-]*\s*>)")
_WRAPPERS = re.compile(r"</?(?:div|span|big|chem|math)\b[^<>]*>", re.IGNORECASE)
_MARKS = {"b": "**", "strong": "**", "i": "*", "em": "*", "del": "~~", "s": "~~"}
_KEPT = frozenset({"sup", "sub", "u", "small"})
_BREAKS = frozenset({"p", "div", "ul", "ol", "blockquote", "figure", "figcaption", "tr", "table", "caption"})


class Part:
    """An outermost `div`: its attributes, and the HTML in it. Text outside of every `div` has no attributes."""

    def __init__(self, attributes: dict[str, str] | None, html: str) -> None:
        self.attributes = attributes
        self.html = html


def parts(written: str) -> tuple[list[Part], bool]:
    """The outermost `div`s and the text between them, and whether all of them and their tags are closed."""
    reader = _Parts(_escape(written))
    return reader.parts(), reader.is_sound and not _ODD_END.search(written)


def to_markdown(written: str) -> str:
    """HTML as Markdown; its tables stay HTML."""
    pieces = []
    at = 0
    # Up to the last end of a table: looking for the end of each unclosed one would cost quadratic time.
    closed = written.lower().rfind("</table")
    for table in _TABLE.finditer(written, 0, written.find(">", closed) + 1) if closed >= 0 else ():
        pieces += [_flowing(written[at : table.start()]), _plain_table(table.group())]
        at = table.end()
    pieces.append(_flowing(written[at:]))
    return "\n\n".join(filter(None, (piece.strip("\n") for piece in pieces)))


def _plain_table(written: str) -> str:
    """A table whose cells hold no other tags than those that tables of our dialect have."""
    written = _MATH.sub(lambda found: f"${found[1].strip()}$", written)
    written = _BOX.sub(lambda found: "☑" if _CHECKED.search(found[1]) else "☐", written)
    return _WRAPPERS.sub("", written)


def _flowing(written: str) -> str:
    writer = _Writer()
    writer.feed(_escape(written))
    writer.close()
    return writer.markdown()


def _escape(written: str) -> str:
    """The HTML in which all that is no tag of the model's is text."""
    return escape_unknown(_ODD_END.sub("&lt;/", written), _KNOWN)


class _Parts(HTMLParser):
    def __init__(self, written: str) -> None:
        super().__init__(convert_charrefs=False)
        self._written = written
        self._line_starts = [0, *(found.end() for found in re.finditer("\n", written))]
        self._depth = 0
        self._begun = 0
        self._attributes: dict[str, str] | None = None
        self._found: list[Part] = []
        #: Whether every `div` and every tag has its end.
        self.is_sound = True
        self.feed(written)
        self.close()
        self.is_sound = self.is_sound and self._depth == 0
        self._add(len(written))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        source = self.get_starttag_text() or ""
        self.is_sound = self.is_sound and not _swallows(source)
        if tag != "div":
            return
        if self._depth == 0:
            self._add(self._offset())
            self._attributes = {name: value or "" for name, value in attrs}
            # A tag that has swallowed text is part of the block, so that the text is shown.
            self._begun = self._offset() + (0 if _swallows(source) else len(source))
        self._depth += 1

    def handle_endtag(self, tag: str) -> None:
        if tag != "div" or self._depth == 0:
            return
        self._depth -= 1
        if self._depth == 0:
            self._add(self._offset())
            self._attributes = None
            self._begun = self._written.find(">", self._offset()) + 1 or len(self._written)

    def parts(self) -> list[Part]:
        return self._found

    def _add(self, end: int) -> None:
        html = self._written[self._begun : end]
        if html.strip():
            self._found.append(Part(self._attributes, html))

    def _offset(self) -> int:
        line, column = self.getpos()
        return self._line_starts[line - 1] + column


class _Writer(HTMLParser):
    """Writes Markdown as it reads HTML. Unknown tags are escaped before, so each text comes out."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[str] = []
        self._lists: list[int | None] = []
        # The text of an open formula or listing, as it is written; None outside of both.
        self._raw: list[str] | None = None
        self._raw_tag = ""
        self._is_block = False

    def markdown(self) -> str:
        self._end_raw()
        text = "".join(self._parts)
        return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", text)).strip()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        source = self.get_starttag_text() or ""
        if _swallows(source):
            self.handle_data(source)
            return
        if self._raw is not None:
            self._raw.append("\n" if tag == "br" else "")
            return
        attributes = {name: value or "" for name, value in attrs}
        match tag:
            case "math" | "pre":
                self._raw, self._raw_tag = [], tag
                self._is_block = tag == "pre" or attributes.get("display") == "block"
            case "br":
                self._parts.append("\n")
            case "hr":
                self._parts.append("\n\n---\n\n")
            case "h1" | "h2" | "h3" | "h4" | "h5" | "h6":
                self._parts.append(f"\n\n{'#' * int(tag[1])} ")
            case "ul" | "ol":
                self._parts.append("\n" if self._lists else "\n\n")
                self._lists.append(1 if tag == "ol" else None)
            case "li":
                self._parts.append(self._item())
            case "input":
                self._parts.append(_input(attributes))
            case "img":
                alt = attributes.get("alt", "").strip()
                self._parts.append(f"\n\n<img>{escape(alt)}</img>\n\n" if alt else "")
            case "code":
                self._parts.append("`")
            case _:
                self._mark(tag, "")

    def handle_endtag(self, tag: str) -> None:
        if self._raw is not None:
            if tag == self._raw_tag:
                self._end_raw()
            return
        match tag:
            case "ul" | "ol":
                if self._lists:
                    self._lists.pop()
                self._parts.append("\n" if self._lists else "\n\n")
            case "h1" | "h2" | "h3" | "h4" | "h5" | "h6":
                self._parts.append("\n\n")
            case "code":
                self._parts.append("`")
            case _:
                self._mark(tag, "/")

    def handle_data(self, data: str) -> None:
        if self._raw is not None:
            self._raw.append(data)
            return
        text = re.sub(r"\s+", " ", data)
        begins = not self._parts or self._parts[-1].endswith(("\n", " "))
        self._parts.append(escape(text.lstrip() if begins else text))

    def _mark(self, tag: str, slash: str) -> None:
        if tag in _MARKS:
            self._parts.append(_MARKS[tag])
        elif tag in _KEPT:
            self._parts.append(f"<{slash}{tag}>")
        elif tag in _BREAKS:
            # A paragraph in an item of a list continues it.
            self._parts.append("" if self._lists else "\n\n")

    def _item(self) -> str:
        indent = "    " * min(max(0, len(self._lists) - 1), _MAX_DEPTH)
        if not self._lists or self._lists[-1] is None:
            return f"\n{indent}- "
        number = self._lists[-1]
        self._lists[-1] = number + 1
        return f"\n{indent}{number}. "

    def _end_raw(self) -> None:
        if self._raw is None:
            return
        text, self._raw = "".join(self._raw), None
        if self._raw_tag == "pre":
            fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text) or [""]))
            self._parts.append(f"\n\n{fence}\n{text.strip(chr(10))}\n{fence}\n\n")
        elif self._is_block:
            self._parts.append(f"\n\n$$\n{text.strip()}\n$$\n\n")
        elif text.strip():
            self._parts.append(f"${text.strip()}$")


def _swallows(source: str) -> bool:
    """Whether a tag holds others: the quotation mark of an attribute is not closed, and what follows is text."""
    return "<" in source[1:]


def _input(attributes: dict[str, str]) -> str:
    if attributes.get("type") in ("checkbox", "radio"):
        return "☑ " if "checked" in attributes else "☐ "
    return escape(attributes.get("value", ""))
