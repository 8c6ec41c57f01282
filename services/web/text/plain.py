"""The combined result as plain text."""

import html
import re

import nh3

from services.web.text.html import to_html

_PAGE = re.compile(r"^<!-- page (\d+)(?: (blank|failed: .*))? -->$", re.MULTILINE)
_PARAGRAPH_END = re.compile(r"</(?:p|h[1-6]|ul|ol|blockquote|pre|table|figure)>\n?|<hr\s*/?>\n?")
_ROW_END = re.compile(r"</(?:li|tr)>\n?|<br\s*/?>\n?")
_CELL_END = re.compile(r"</t[dh]>\s*(?=<t[dh])")
_BLANK_LINES = re.compile(r"\n{3,}")


def to_text(combined: str) -> str:
    """The pages without markup: tabs between table cells, form feeds between pages (as pdftotext writes them).

    A failed page becomes `[page N failed: REASON]`, a blank one is empty.
    """
    parts = _PAGE.split(combined)
    pages = zip(parts[1::3], parts[2::3], parts[3::3], strict=True)
    return "\f".join(_page(number, remark, text) for number, remark, text in pages)


def _page(number: str, remark: str | None, text: str) -> str:
    if remark is not None and remark.startswith("failed"):
        return f"[page {number} {remark}]\n"
    markup = _PARAGRAPH_END.sub("\n\n", _ROW_END.sub("\n", _CELL_END.sub("\t", to_html(text))))
    plain = html.unescape(nh3.clean(markup, tags=set()))
    plain = "\n".join(line.strip(" ") for line in plain.splitlines())
    return _BLANK_LINES.sub("\n\n", plain).strip() + "\n"
