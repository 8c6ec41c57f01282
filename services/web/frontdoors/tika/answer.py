"""A page as Tika answers it: text, XHTML or Markdown, and the metadata of the document."""

from typing import Any

from services.web.frontdoors.absent import page_html, page_markdown, page_text
from services.web.outputs.page import PageDocument

#: The member of an answer that has the content, in version 3 and in version 4.
CONTENT_3, CONTENT_4 = "X-TIKA:content", "tk:content"

#: Around the pages of the XHTML document.
XHTML_BEFORE = '<html xmlns="http://www.w3.org/1999/xhtml">\n<head><title></title></head>\n<body>'
XHTML_AFTER = "</body></html>\n"


def metadata(media_type: str, filename: str, pages: int, failed: int) -> dict[str, Any]:
    """What is known of the document. Values are texts, as Tika writes them."""
    known: dict[str, Any] = {
        "Content-Type": media_type,
        "resourceName": filename,
        "X-TIKA:Parsed-By": ["gnosis-ocr"],
        "xmpTPg:NPages": str(pages),
    }
    if failed:
        known["X-TIKA:EXCEPTION:warn"] = f"{failed} of {pages} pages could not be read."
    return known


def text(page: PageDocument) -> str:
    """The page's part of the text; pages end with an empty line."""
    return f"{page_text(page)}\n\n"


def markdown(page: PageDocument) -> str:
    """The page's part of the Markdown; pages end with an empty line."""
    return f"{page_markdown(page)}\n\n"


def xhtml(page: PageDocument) -> str:
    """The page as an element of its own, as Tika's parser of PDF writes it."""
    return f'<div class="page">{page_html(page)}</div>\n'
