"""The Markdown that engines write: CommonMark with tables, HTML tables, formulas and page numbers.

On a scanned page indented text is layout, a dashed line below text is a rule, and "[1]: ..." is a note: taken for code
or a heading they would be wrong, and a link definition would disappear.
"""

import re
from collections.abc import Callable
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

#: Characters and lines within which a formula must close: without a limit, unclosed ones cost quadratic time. Chosen.
MAX_FORMULA_CHARACTERS = 2000
MAX_FORMULA_LINES = 40

#: What a formula stands between; the first two also on lines of their own.
MATH = (("$$", "$$"), (r"\[", r"\]"), (r"\(", r"\)"))

#: An image with its description, as `<img>...</img>`, or with the attributes of HTML: attributes, then description.
IMAGE = re.compile(r"<img\b([^<>]*)>(?:((?:(?!<img\b).)*?)</img\s*>)?", re.IGNORECASE | re.DOTALL)

#: The tags that models write, `watermark`, `page_number` and `signature` around those parts of a page. Any other was
#: printed on it.
TAGS = frozenset(
    {"h1", "h2", "h3", "h4", "h5", "h6", "p", "br", "hr", "blockquote", "pre", "code", "ul", "ol", "li"}
    | {"strong", "b", "em", "i", "u", "s", "del", "ins", "sub", "sup", "small", "a", "figure", "figcaption"}
    | {"table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td", "img", "page-break"}
    | {"watermark", "page_number", "signature"}
)

_TAG = re.compile(r"<(?=[!?]|/?([A-Za-z][\w:.-]*))")
_ALT = re.compile(r"""\balt\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_PAGE_NUMBER = re.compile(r"</?page_number\s*>", re.IGNORECASE)
# Pandoc's rule, by which "$5 and $10" is no formula.
_DOLLARS = re.compile(r"\$(?!\s)(?:[^$\\\n]|\\.){1,500}?(?<!\s)\$(?!\d)")


def markdown_parser(renderer: Callable[[Any], Any] = RendererHTML) -> MarkdownIt:
    """A parser of this dialect. LaTeX stays in the text as it is written."""
    parser = MarkdownIt("commonmark", renderer_cls=renderer).enable(["table", "strikethrough"])
    parser.disable(["code", "lheading", "reference"])
    parser.inline.ruler.before("escape", "math_inline", _math_inline)
    parser.inline.ruler.before("html_inline", "page_number", _page_number)
    parser.block.ruler.before("fence", "math_block", _math_block, {"alt": ["paragraph", "blockquote", "list"]})
    return parser


def escape_unknown(html: str, known: frozenset[str] = TAGS) -> str:
    """Raw HTML in which every tag that is not `known` is escaped; models write no other."""
    return _TAG.sub(lambda found: "<" if (found.group(1) or "").lower() in known else "&lt;", html)


def image_description(attributes: str, description: str | None) -> str:
    """The description of an `IMAGE`; "" where it has none."""
    alt = _ALT.search(attributes)
    return (description or "").strip() or ((alt.group(1) or alt.group(2) or "").strip() if alt else "")


def _math_inline(state: StateInline, silent: bool) -> bool:
    """LaTeX between delimiters, kept as it is: Markdown would consume its backslashes and underscores."""
    for opening, closing in MATH:
        if state.src.startswith(opening, state.pos):
            start = state.pos + len(opening)
            end = state.src.find(closing, start, min(state.posMax, start + MAX_FORMULA_CHARACTERS))
            return end > 0 and _take(state, end + len(closing), silent)
    if state.src[state.pos] != "$":
        return False
    found = _DOLLARS.match(state.src, state.pos, state.posMax)
    return found is not None and _take(state, found.end(), silent)


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
    pair = next((pair for pair in MATH[:2] if first.startswith(pair[0])), None)
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
