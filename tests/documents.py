"""Documents made by code."""

import os
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


def large_pdf(path: Path) -> Path:
    """One page and 40 MB beside it."""
    with pymupdf.open() as document:
        document.new_page(width=200, height=200)
        xref = document.get_new_xref()
        document.update_object(xref, "<<>>")
        document.update_stream(xref, os.urandom(40_000_000), compress=False)
        document.save(path)
    return path


def encrypted(path: Path, plain: Path, *, password: str) -> Path:
    """The same PDF, which only this password or its owner's opens."""
    with pymupdf.open(plain) as document:
        document.save(
            path, encryption=pymupdf.mupdf.PDF_ENCRYPT_AES_256, user_pw=password, owner_pw=f"{password} (owner)"
        )
    return path
