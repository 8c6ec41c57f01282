"""Open one document and draw its pages for the parent, or put text into it: `python -m services.web.render.child`.

A socket carries requests in and frames out (see `protocol`), so nothing that a library prints can get between the
frames. The process can be killed at any moment and leaves nothing behind: it writes no file, and it dies with its
parent.
"""

import codecs
import contextlib
import os
import resource
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

from services.serving import jail
from services.serving.confinement import confine, die_with, parent_channel
from services.web.render.filetype import FileType
from services.web.render.protocol import (
    MAX_PIECE_BYTES,
    DocumentOpened,
    Fault,
    FrameKind,
    OpenRequest,
    PageText,
    RenderError,
    RenderLimits,
    SearchableMade,
    decode_open_request,
    decode_page_text,
    decode_pages_request,
    encode_fault,
    encode_header,
    encode_made,
    encode_opened,
)

# Open files at once. Chosen: the standard streams, the channel and the document, with room to spare.
_OPEN_FILES = 32
# The text encodings that PyMuPDF and Pillow use. Python imports a codec when it is first used.
_ENCODINGS = ("ascii", "latin-1", "raw_unicode_escape", "unicode_escape", "utf-8", "utf-16", "utf-16-be", "utf-16-le")
# Niceness added to the service's own. Chosen: rendering is far ahead of OCR anyway, and both may share cores.
_NICE = 10
# Bytes by which the child may run ahead of a parent that is busy storing: about one page.
_SEND_BUFFER = 1 << 20


class PageSource(Protocol):
    """An open document of any format.

    Decoders of hostile files raise nearly anything besides `RenderError`; all of that counts as damage.
    """

    total_pages: int
    repaired: bool

    def page_png(self, page_no: int) -> bytes:
        """A 1-based page as a PNG. Raises `RenderError` with a page's fault."""
        ...


@runtime_checkable
class TextTarget(Protocol):
    """An open document of any format that becomes a searchable PDF. It raises what a `PageSource` raises."""

    total_pages: int
    repaired: bool

    def add(self, page: PageText) -> None:
        """Put text into a page. Raises anything where the page cannot take any."""
        ...

    def write(self, begin: Callable[[SearchableMade], None], piece: Callable[[bytes], None]) -> None:
        """Write the PDF: `begin`, then `piece` any number of times."""
        ...


Opener = Callable[[], PageSource | TextTarget]


def main() -> None:
    """Serve one document, then exit when the parent closes the socket."""
    channel = parent_channel()
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    lines = _lines(channel)
    line = next(lines, None)
    if line is None:
        return  # the parent died before it sent a request
    request = decode_open_request(line)
    die_with(request.parent)
    opener = _import_opener(request)
    _lower_priority()
    confine(
        memory_bytes=request.limits.memory_bytes + _mapped_bytes(request),
        open_files=_OPEN_FILES,
        walls=request.walls,
        keep=(channel.fileno(), request.descriptor),
    )
    jail.seal(request.walls, jail.Profile.READER)
    try:
        _serve(channel, lines, request, opener)
    except (BrokenPipeError, ConnectionResetError):
        return  # the parent has gone, or needs no more pages


def _serve(channel: socket.socket, lines: Iterator[bytes], request: OpenRequest, opener: Opener) -> None:
    _allow_cpu(request.limits)
    try:
        source = _open(opener, request.limits)
    except RenderError as error:
        _send(channel, FrameKind.DOCUMENT_FAULT, 0, encode_fault(error.fault))
        return
    opened = DocumentOpened(total_pages=source.total_pages, repaired=source.repaired)
    _send(channel, FrameKind.DOCUMENT, 0, encode_opened(opened))
    if isinstance(source, TextTarget):
        _make_searchable(channel, lines, source, request.limits)
        return
    for line in lines:
        for page_no in decode_pages_request(line).pages:
            _allow_cpu(request.limits)
            kind, payload = _draw(source, page_no)
            _send(channel, kind, page_no, payload)


def _make_searchable(channel: socket.socket, lines: Iterator[bytes], target: TextTarget, limits: RenderLimits) -> None:
    """Put the pages' texts into the document, and send it. A page that cannot take its text stays without."""
    for line in lines:
        _allow_cpu(limits)
        page = decode_page_text(line)
        if 1 <= page.page_no <= target.total_pages:
            with contextlib.suppress(Exception):  # MuPDF raises anything for damage
                target.add(page)

    def begin(made: SearchableMade) -> None:
        _send(channel, FrameKind.SEARCHABLE, 0, encode_made(made))

    waiting = bytearray()

    def piece(content: bytes) -> None:
        waiting.extend(content)
        while len(waiting) >= MAX_PIECE_BYTES:
            _send(channel, FrameKind.PIECE, 0, bytes(waiting[:MAX_PIECE_BYTES]))
            del waiting[:MAX_PIECE_BYTES]

    _allow_cpu(limits)
    target.write(begin, piece)
    if waiting:
        _send(channel, FrameKind.PIECE, 0, bytes(waiting))
    _send(channel, FrameKind.PIECE, 0, b"")


def _open(opener: Opener, limits: RenderLimits) -> PageSource | TextTarget:
    try:
        source = opener()
    except RenderError:
        raise
    except MemoryError as error:
        raise RenderError(Fault.TOO_LARGE_TO_OPEN) from error
    except Exception as error:
        raise RenderError(Fault.DAMAGED) from error
    if source.total_pages < 1:
        raise RenderError(Fault.NO_PAGES)
    if source.total_pages > limits.max_pages:
        raise RenderError(Fault.TOO_MANY_PAGES)
    return source


def _draw(source: PageSource, page_no: int) -> tuple[FrameKind, bytes]:
    """The frame of one page: its kind and payload."""
    try:
        return FrameKind.PAGE, source.page_png(page_no)
    except RenderError as error:
        fault = error.fault
    except MemoryError:
        fault = Fault.PAGE_MEMORY
    except Exception as error:  # MuPDF reports a failed allocation by its message alone
        fault = Fault.PAGE_MEMORY if "malloc" in str(error) else Fault.PAGE_DAMAGED
    return FrameKind.PAGE_FAULT, encode_fault(fault)


def _send(channel: socket.socket, kind: FrameKind, page_no: int, payload: bytes) -> None:
    channel.sendall(encode_header(kind, page_no, len(payload)))
    channel.sendall(payload)


def _lines(channel: socket.socket) -> Iterator[bytes]:
    with channel.makefile("rb") as stream:
        yield from stream


def _import_opener(request: OpenRequest) -> Opener:
    """Import the one library that this document needs: in the jail no file can be opened, so no module imported."""
    for encoding in _ENCODINGS:
        codecs.lookup(encoding)
    if request.searchable:
        from services.web.render.child.searchable import opener

        return opener(request)
    if request.file_type is FileType.PDF:
        from services.web.render.child.pdf import PdfSource

        return lambda: PdfSource(request.descriptor, request.dpi, request.limits, request.password)
    from services.web.render.child.image import ImageSource, import_decoders

    import_decoders(request.file_type)
    return lambda: ImageSource(request.descriptor, request.file_type, request.limits)


def _mapped_bytes(request: OpenRequest) -> int:
    """Address space of the file itself. A PDF is mapped, which takes no memory of its own."""
    return os.fstat(request.descriptor).st_size if request.file_type is FileType.PDF else 0


def _lower_priority() -> None:
    """Let the engine and the web service run first where cores are shared."""
    os.nice(_NICE)
    # Where autogroups are on, as on most desktops, Linux shares the processor between sessions and weighs niceness only
    # within each; this process has a session of its own.
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(_NICE))


def _allow_cpu(limits: RenderLimits) -> None:
    """Allow another `cpu_seconds` of processor time from here; past them the kernel ends the process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + limits.cpu_seconds + 1
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


if __name__ == "__main__":
    main()
