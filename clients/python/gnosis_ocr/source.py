"""The document to upload: a path, bytes, or an open file."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, TypeAlias

import msgspec

#: What `upload` and `read` take.
Document: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A document that can be read from any offset, as a resumed upload does."""

    file: BinaryIO
    #: Where the document begins in the file.
    start: int
    #: Bytes.
    size: int
    #: To show to its owner.
    filename: str


@contextmanager
def opened(document: Document, filename: str | None) -> Iterator[Source]:
    """The document, open until the end of the block. A stream that cannot go back is copied to a temporary file.

    Raises `OSError`.
    """
    with ExitStack() as stack:
        if isinstance(document, bytes):
            file: BinaryIO = BytesIO(document)
            name = "upload"
        elif isinstance(document, str | os.PathLike):
            file = stack.enter_context(Path(document).open("rb"))
            name = Path(document).name
        else:
            file = document
            name = Path(str(getattr(document, "name", "upload"))).name
        if not file.seekable():
            copy = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(file, copy)
            copy.seek(0)
            file = copy
        start = file.tell()
        size = file.seek(0, os.SEEK_END) - start
        yield Source(file=file, start=start, size=size, filename=filename or name)
