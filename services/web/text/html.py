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
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

from libs.page import dialect
from libs.page.dialect import IMAGE, escape_unknown, image_description, markdown_parser

#: Every tag that can be in the output.
TAGS = dialect.TAGS - {"img", "page-break"}

#: The attributes that can be in the output, by tag.
ATTRIBUTES = {
    "a": {"href"},
    "td": {"colspan", "rowspan", "align"},
    "th": {"colspan", "rowspan", "align"},
    "ol": {"start"},
}

#: Cells that a table cell may span: the HTML standard's limit for `colspan`.
MAX_SPAN = 1000

#: A line of running text has at least so many characters, and fills at least this share of the paragraph's widest line.
#: Chosen: shorter lines are of an address, a receipt or a table of contents.
RUNNING_LINE_CHARACTERS = 40
RUNNING_LINE_SHARE = 0.75

_LINK = re.compile(r"(?:https?://|mailto:)[^\s\x00-\x1f]+", re.IGNORECASE)
_PAGE_BREAK = re.compile(r"<page-break\b[^<>]*>(?:\s*</page-break\s*>)?", re.IGNORECASE)
_LONE_FIGURE = re.compile(r"<p>\s*(<figure>(?:(?!</?p>).)*?</figure>)\s*</p>", re.DOTALL)
_EMPTY_PARAGRAPH = re.compile(r"<p>\s*</p>\n?")


def to_html(markdown: str) -> str:
    """The Markdown of one page as a sanitised HTML fragment.

    What models write besides Markdown is kept: HTML tables, image descriptions (`<img>...</img>`, shown as a figure),
    watermarks, page numbers and page breaks. LaTeX stays as written. Any other tag is shown as text, since it was
    printed on the page. Pictures are never fetched; links lead to http, https and mail addresses.
    """
    html = _parser.render(markdown)
    html = _LONE_FIGURE.sub(r"\1", _PAGE_BREAK.sub("<hr>", IMAGE.sub(_figure, html)))
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
    text = image_description(*found.groups())
    return f"<figure>{text}</figure>" if text else ""


def kept_breaks(lines: Sequence[str]) -> list[bool]:
    """Which of the lines of a paragraph, but for the last, end in a break that has a meaning.

    Engines write one line for each printed line. Lines of running text may be joined; but the lines of a receipt or an
    address, and the last line of a paragraph, end before the margin, and those of a table of contents end in a number.
    """
    margin = max(RUNNING_LINE_CHARACTERS, RUNNING_LINE_SHARE * max(map(len, lines)))
    return [len(line) < margin or line[-1:].isdigit() for line in lines[:-1]]


def _printed_lines(state: StateCore) -> None:
    """Make hard breaks of the `kept_breaks`."""
    for block in state.tokens:
        if not block.children:
            continue
        lines = [""]
        for token in block.children:
            if token.type in ("softbreak", "hardbreak"):
                lines.append("")
            else:
                lines[-1] += token.content
        kept = iter(kept_breaks(lines))
        for token in block.children:
            if token.type in ("softbreak", "hardbreak") and next(kept):
                token.type = "hardbreak"


class _Renderer(RendererHTML):
    """Renders tokens as HTML: of raw HTML only the tags that models write, pictures as their description."""

    def html_inline(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
        return escape_unknown(tokens[at].content)

    def html_block(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
        return escape_unknown(tokens[at].content)

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
    parser = markdown_parser(_Renderer)
    parser.core.ruler.after("inline", "printed_lines", _printed_lines)
    return parser


_parser = _make_parser()
