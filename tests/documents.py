"""Documents made by code."""

from collections.abc import Callable
from pathlib import Path

import pymupdf

#: Writes a file of this name and content.
WriteFile = Callable[[str, bytes], Path]


def pdf(path: Path, pages: int, *, text: str = "Page {n} of the test document.") -> Path:
    """A PDF whose pages carry their own number."""
    with pymupdf.open() as document:
        for number in range(1, pages + 1):
            page = document.new_page(width=420, height=595)
            page.insert_text((50, 80), text.format(n=number), fontsize=16)
        document.save(path)
    return path
