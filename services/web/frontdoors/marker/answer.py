"""A page as Marker answers it."""

from enum import StrEnum
from typing import Any

from services.web.frontdoors.absent import failure, page_html, page_markdown
from services.web.outputs.page import PageDocument

#: Below the number of a page where the client asks for pages apart: as many dashes as Marker writes.
_DASHES = "-" * 48


class OutputFormat(StrEnum):
    """In which form the document is."""

    MARKDOWN = "markdown"
    HTML = "html"


def output(page: PageDocument, output_format: OutputFormat, *, paginated: bool, first: bool) -> str:
    """The page's part of `output`."""
    if output_format is OutputFormat.HTML:
        shown = page_html(page)
        return f'<div class="page" data-page-id="{page.page_no - 1}">{shown}</div>\n' if paginated else shown
    if paginated:
        return f"\n\n{{{page.page_no - 1}}}{_DASHES}\n\n{page_markdown(page)}"
    return ("" if first else "\n\n") + page_markdown(page)


def page_stats(page: PageDocument) -> dict[str, Any]:
    """The page's entry of `metadata.page_stats`."""
    return {
        "page_id": page.page_no - 1,
        "text_extraction_method": page.source,
        "num_blocks": len(page.blocks),
        "error": failure(page),
    }
