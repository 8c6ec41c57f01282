"""All forms of a result in one ZIP archive, made while it is sent: nothing of it is held but the piece in hand.

The entries are written one after the other, so the pages' outcomes are read once for each form.
"""

import asyncio
import csv
import io
import zipfile
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import aclosing, suppress
from datetime import datetime

import msgspec

from libs.jobstate.evidence import read_in_order
from libs.jobstate.job import Job
from libs.page import table
from libs.page.block import Block, BlockKind, Rect
from libs.page.markdown import DEFAULT, MarkdownOptions
from libs.png.header import BadPng
from libs.storage import layout
from libs.storage.errors import NotFound
from libs.storage.session import SessionFiles
from services.web.outputs.page import blocks_of
from services.web.outputs.result import as_html, as_json, as_markdown, as_text

# Deflate's level, of 0 to 9. Chosen: text shrinks to nearly the same size as at 6, in half the time.
_LEVEL = 3
# The first date that a ZIP archive can name.
_FIRST_YEAR = 1980


class ImageLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The largest page image that is decoded."""

    max_pixels: int
    max_side: int


async def as_zip(
    files: SessionFiles, job: Job, limits: ImageLimits, options: MarkdownOptions = DEFAULT
) -> AsyncIterator[bytes]:
    """All forms, named as the upload, and each table and figure of a page.

    `NAME.md`, `.txt`, `.html` and `.json`; `tables/page_NNN_table_N.csv`; `figures/page_NNN_figure_N.png`, cut out of
    the page image, where the engine knows where the figure is.
    """
    name = job.file_info.raw_file.rsplit(".", 1)[0]
    forms = {
        f"{name}.md": as_markdown(files, job, options),
        f"{name}.txt": as_text(files, job, headers=options.headers),
        f"{name}.html": as_html(files, job, headers=options.headers),
        f"{name}.json": as_json(files, job),
    }
    archive = Archive(job.updated_at)
    for entry, form in forms.items():
        async for piece in archive.add(entry, form):
            yield piece
    async with aclosing(read_in_order(files, job.pages)) as outcomes:
        async for page_no, outcome in outcomes:
            blocks = () if outcome is None else await asyncio.to_thread(blocks_of, outcome)
            boxes = [block.box for block in blocks if block.kind is BlockKind.FIGURE and block.box]
            image = layout.page_image(page_no, None if outcome is None else outcome.dpi)
            figures = await cut_figures(files, image, boxes, limits)
            named = [(f"figures/page_{page_no:03}_figure_{number}.png", png) for number, png in figures]
            cut_out = [*_tables(page_no, blocks), *named]
            for entry, data in cut_out:
                async for piece in archive.add(entry, once(data)):
                    yield piece
    yield archive.end()


def _tables(page_no: int, blocks: Iterable[Block]) -> Iterator[tuple[str, bytes]]:
    """The tables of a page as CSV (RFC 4180, UTF-8); a spanning cell's text stands in its first place."""
    tables = [block for block in blocks if block.kind is BlockKind.TABLE and block.cells]
    for number, block in enumerate(tables, 1):
        text = io.StringIO(newline="")
        csv.writer(text).writerows(table.grid(block.cells))
        yield f"tables/page_{page_no:03}_table_{number}.csv", text.getvalue().encode()


async def cut_figures(
    files: SessionFiles, image: str, boxes: Sequence[Rect], limits: ImageLimits
) -> list[tuple[int, bytes]]:
    """The boxes of the page image of this name as PNG, numbered from 1; those without a pixel are left out.

    None where the image is gone or is not as the extraction writes it.
    """
    if not boxes:
        return []
    with suppress(NotFound, BadPng):
        stored = await files.store.read(files.path(image))
        return await asyncio.to_thread(_cut, stored.data, boxes, limits)
    return []


def _cut(image: bytes, boxes: Sequence[Rect], limits: ImageLimits) -> list[tuple[int, bytes]]:
    # Imports numpy, which this process needs for nothing else.
    from services.web.outputs.figures import cut

    return cut(image, boxes, max_pixels=limits.max_pixels, max_side=limits.max_side)


async def once(data: bytes) -> AsyncIterator[bytes]:
    """Bytes that are there at once, as an entry's."""
    yield data


class Archive:
    """A ZIP archive whose bytes are taken away as they are written."""

    def __init__(self, at: datetime) -> None:
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(self._sink, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL)
        self._at = (max(at.year, _FIRST_YEAR), at.month, at.day, at.hour, at.minute, at.second)

    async def add(self, name: str, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Write an entry; yields the archive's bytes as they come."""
        info = zipfile.ZipInfo(name, self._at)
        info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
        # The size is not known before: the entry has to have room for any.
        with self._zip.open(info, "w", force_zip64=True) as entry:
            async for chunk in chunks:
                # In a thread: a figure, or a stored result, is megabytes to deflate.
                await asyncio.to_thread(entry.write, chunk)
                if written := self._sink.take():
                    yield written
        yield self._sink.take()

    def end(self) -> bytes:
        """The rest, with the directory of the entries."""
        self._zip.close()
        return self._sink.take()


class _Sink(io.RawIOBase):
    """Takes what is written until it is taken away. It cannot seek, which `zipfile` allows for."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        part = bytes(data)  # type: ignore[call-overload]  # any buffer, as of every raw stream
        self._parts.append(part)
        return len(part)

    def take(self) -> bytes:
        """What was written since the last call."""
        parts, self._parts = self._parts, []
        return b"".join(parts)
