"""What stands for a page that has no text, and a page's text where an interface has one text for each page.

A page that could not be read is never left out, or the client would count fewer pages than the document has.
"""

from html import escape

from libs.jobstate.ending import failed_marker
from libs.jobstate.outcome import OutcomeStatus
from libs.page.markdown import DEFAULT, MarkdownOptions, to_markdown
from libs.page.text import to_text
from services.web.outputs.page import PageDocument
from services.web.text.blocks import blocks_html

#: The reason for a page that has none of its own.
NOT_READ = "not read"


def failure(page: PageDocument) -> str | None:
    """Why the page has no text, on one line; None for a page that was read, a blank one included."""
    if page.status is OutcomeStatus.COMPLETED:
        return None
    return " ".join((page.error or NOT_READ).split())


def note(page: PageDocument) -> str | None:
    """What a text without markup has in place of the page: "[page 3 failed: REASON]"; None for a page that was read."""
    reason = failure(page)
    return None if reason is None else f"[page {page.page_no} failed: {reason}]"


def page_markdown(page: PageDocument, options: MarkdownOptions = DEFAULT) -> str:
    """The page as Markdown, or a comment that says why it failed; "" for a blank page."""
    reason = failure(page)
    if reason is not None:
        return failed_marker(page.page_no, reason)
    if page.blank:
        return ""
    return (page.markdown if options == DEFAULT else to_markdown(page.blocks, options)).rstrip()


def page_html(page: PageDocument) -> str:
    """The page as a fragment of HTML, or its `note`; "" for a blank page."""
    said = note(page)
    return blocks_html(page.blocks) if said is None else f"<p>{escape(said)}</p>\n"


def page_text(page: PageDocument, *, headers: bool = False) -> str:
    """The page without markup, or its `note`; "" for a blank page. `headers`: running heads and feet too."""
    return note(page) or to_text(page.blocks, headers=headers).strip()
