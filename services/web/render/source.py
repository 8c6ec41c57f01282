"""What the render child sees of any document, whatever its format."""

from typing import Protocol

from services.web.render.protocol import Fault


class Refused(Exception):
    """The document, or the page at hand, cannot be turned into an image."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.name)
        self.fault = fault


class PageSource(Protocol):
    """An open document.

    `page_png` takes a 1-based page and raises `Refused` with a page's fault. Decoders of hostile files raise
    nearly anything else besides; the child counts all of that as damage.
    """

    total_pages: int
    repaired: bool

    def page_png(self, page_no: int) -> bytes: ...
