"""Page Markdown to HTML that is safe to place in the web page.

The text was read from a document of unknown origin, so it is treated as hostile. There are two stages: the first turns
Markdown into HTML and is only concerned with fidelity to the page; the second is an allow-list, and safety rests on it
alone.
"""

import re
from collections.abc import MutableMapping, Sequence
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

#: Every tag that can be in the output. Models write `watermark` and `page_number` around those parts of a page.
TAGS = frozenset(
    {"h1", "h2", "h3", "h4", "h5", "h6", "p", "br", "hr", "blockquote", "pre", "code", "ul", "ol", "li"}
    | {"strong", "b", "em", "i", "u", "s", "del", "ins", "sub", "sup", "small", "a", "figure", "figcaption"}
    | {"table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td", "watermark", "page_number"}
)

#: The attributes that can be in the output, by tag.
ATTRIBUTES = {
    "a": {"href"},
    "td": {"colspan", "rowspan", "align"},
    "th": {"colspan", "rowspan", "align"},
    "ol": {"start"},
}

#: Cells that a table cell may span: the HTML standard's limit for `colspan`.
MAX_SPAN = 1000

#: Characters and lines within which a formula must close: without a limit, unclosed ones cost quadratic time. Chosen.
MAX_FORMULA_CHARACTERS = 2000
MAX_FORMULA_LINES = 40

#: A line of running text has at least so many characters, and fills at least this share of the paragraph's widest line.
#: Chosen: shorter lines are of an address, a receipt or a table of contents.
RUNNING_LINE_CHARACTERS = 40
RUNNING_LINE_SHARE = 0.75

_LINK = re.compile(r"(?:https?://|mailto:)[^\s\x00-\x1f]+", re.IGNORECASE)
_TAG = re.compile(r"<(?=[!?]|/?([A-Za-z][\w:.-]*))")
_IMAGE = re.compile(r"<img\b([^<>]*)>(?:((?:(?!<img\b).)*?)</img\s*>)?", re.IGNORECASE | re.DOTALL)
_ALT = re.compile(r"""\balt\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_PAGE_BREAK = re.compile(r"<page-break\b[^<>]*>(?:\s*</page-break\s*>)?", re.IGNORECASE)
_LONE_FIGURE = re.compile(r"<p>\s*(<figure>(?:(?!</?p>).)*?</figure>)\s*</p>", re.DOTALL)
_EMPTY_PARAGRAPH = re.compile(r"<p>\s*</p>\n?")
_MATH = (("$$", "$$"), (r"\[", r"\]"), (r"\(", r"\)"))
_PAGE_NUMBER = re.compile(r"</?page_number\s*>", re.IGNORECASE)
_WRITTEN = TAGS | {"img", "page-break"}


def to_html(markdown: str) -> str:
    """The Markdown of one page as a sanitised HTML fragment.

    What models write besides Markdown is kept: HTML tables, image descriptions (`<img>...</img>`, shown as a figure),
    watermarks, page numbers and page breaks. LaTeX stays as written. Any other tag is shown as text, since it was
    printed on the page. Pictures are never fetched; links lead to http, https and mail addresses.
    """
    html = _parser.render(markdown)
    html = _LONE_FIGURE.sub(r"\1", _PAGE_BREAK.sub("<hr>", _IMAGE.sub(_figure, html)))
    return sanitise(html)


def sanitise(html: str) -> str:
    """Any HTML, reduced to `TAGS` and `ATTRIBUTES`; of other tags only their text is kept."""
    clean = nh3.clean(
        html,
        tags=set(TAGS),
        attributes={**ATTRIBUTES, "*": set()},  # without the last, nh3 allows title and lang on every tag
        attribute_filter=_attribute,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )
    return _EMPTY_PARAGRAPH.sub("", clean)


def _attribute(tag: str, name: str, value: str) -> str | None:
    match name:
        case "href":
            return value if _LINK.fullmatch(value) else None
        case "colspan" | "rowspan":
            return value if value.isascii() and value.isdigit() and 0 < int(value[:9]) <= MAX_SPAN else None
        case "start":
            return value if value.isascii() and value.isdigit() and len(value) <= 9 else None
        case "align":
            return value if value in ("left", "center", "right") else None
        case _:
            # rel and target, which nh3 adds itself and passes through this filter.
            return value


def _figure(found: re.Match[str]) -> str:
    """An image as its description in a figure; nothing without a description."""
    attributes, description = found.groups()
    alt = _ALT.search(attributes)
    text = (description or "").strip() or ((alt.group(1) or alt.group(2) or "").strip() if alt else "")
    return f"<figure>{text}</figure>" if text else ""


def _escape_unknown(html: str) -> str:
    """Raw HTML in which every tag that models do not write is escaped."""
    return _TAG.sub(lambda found: "<" if (found.group(1) or "").lower() in _WRITTEN else "&lt;", html)


def _math_inline(state: StateInline, silent: bool) -> bool:
    """LaTeX between delimiters, kept as it is: Markdown would consume its backslashes and underscores."""
    for opening, closing in _MATH:
        if state.src.startswith(opening, state.pos):
            start = state.pos + len(opening)
            end = state.src.find(closing, start, min(state.posMax, start + MAX_FORMULA_CHARACTERS))
            return end > 0 and _take(state, end + len(closing), silent)
    if state.src[state.pos] != "$":
        return False
    # Pandoc's rule, by which "$5 and $10" is no formula.
    found = _DOLLARS.match(state.src, state.pos, state.posMax)
    return found is not None and _take(state, found.end(), silent)


_DOLLARS = re.compile(r"\$(?!\s)(?:[^$\\\n]|\\.){1,500}?(?<!\s)\$(?!\d)")


def _printed_lines(state: StateCore) -> None:
    """Keep the line breaks that have a meaning.

    Engines write one line for each printed line. Lines of running text may be joined; but the lines of a receipt or an
    address, and the last line of a paragraph, end before the margin, and those of a table of contents end in a number.
    """
    for block in state.tokens:
        if not block.children:
            continue
        lines = [""]
        for token in block.children:
            if token.type in ("softbreak", "hardbreak"):
                lines.append("")
            else:
                lines[-1] += token.content
        margin = max(RUNNING_LINE_CHARACTERS, RUNNING_LINE_SHARE * max(map(len, lines)))
        ended = iter(lines)
        for token in block.children:
            if token.type in ("softbreak", "hardbreak"):
                line = next(ended)
                if len(line) < margin or line[-1:].isdigit():
                    token.type = "hardbreak"


def _page_number(state: StateInline, silent: bool) -> bool:
    """The page number tag that models write; CommonMark allows no underscore in a tag's name."""
    found = _PAGE_NUMBER.match(state.src, state.pos, state.posMax)
    if found is None:
        return False
    if not silent:
        state.push("html_inline", "", 0).content = found.group()
    state.pos = found.end()
    return True


def _take(state: StateInline, end: int, silent: bool) -> bool:
    if not silent:
        state.push("text", "", 0).content = state.src[state.pos : end]
    state.pos = end
    return True


def _math_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A formula on lines of its own: its lines would otherwise become lists, rules or headings."""
    first = _line(state, start)
    pair = next((pair for pair in _MATH[:2] if first.startswith(pair[0])), None)
    if pair is None or state.is_code_block(start):
        return False
    opening, closing = pair
    line, rest = start, first[len(opening) :]
    while not rest.endswith(closing):
        line += 1
        if line >= min(end, start + MAX_FORMULA_LINES) or state.isEmpty(line):
            return False
        rest = _line(state, line)
    if line == start and closing in rest[: -len(closing)]:
        return False
    if not silent:
        token = state.push("math_block", "pre", 0)
        token.content = "\n".join(_line(state, at) for at in range(start, line + 1))
        token.map = [start, line + 1]
        state.line = line + 1
    return True


def _line(state: StateBlock, number: int) -> str:
    return state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]].rstrip()


class _Renderer(RendererHTML):
    """Renders tokens as HTML: of raw HTML only the tags that models write, pictures as their description."""

    def html_inline(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
        return _escape_unknown(tokens[at].content)

    def html_block(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
        return _escape_unknown(tokens[at].content)

    def math_block(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
        return f"<pre>{escapeHtml(tokens[at].content)}</pre>\n"

    def image(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: MutableMapping[str, Any]) -> str:
        alt = self.renderInlineAsText(tokens[at].children, options, env)
        return f"<img>{escapeHtml(alt)}</img>"

    def th_open(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
        return _cell(tokens[at])

    def td_open(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
        return _cell(tokens[at])


def _cell(token: Token) -> str:
    """A table cell, aligned by an attribute, since the allow-list has no styles."""
    style = str(token.attrGet("style") or "")
    align = style.removeprefix("text-align:")
    return f'<{token.tag} align="{align}">' if align else f"<{token.tag}>"


def _make_parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", renderer_cls=_Renderer).enable(["table", "strikethrough"])
    # On a scanned page indented text is layout, a dashed line below text is a rule, and "[1]: ..." is a note: shown as
    # code or heading they would be wrong, and a link definition would disappear.
    parser.disable(["code", "lheading", "reference"])
    parser.inline.ruler.before("escape", "math_inline", _math_inline)
    parser.inline.ruler.before("html_inline", "page_number", _page_number)
    parser.block.ruler.before("fence", "math_block", _math_block, {"alt": ["paragraph", "blockquote", "list"]})
    parser.core.ruler.after("inline", "printed_lines", _printed_lines)
    return parser


_parser = _make_parser()
