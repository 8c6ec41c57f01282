"""The process in which one hostile document is opened and drawn: `python -m services.web.render.child`.

A socket carries requests in and frames out (see `protocol`), so nothing that a library prints can get between the
frames. The process can be killed at any moment and leaves nothing behind: it writes no file, and it dies with its
parent.
"""

import contextlib
import os
import resource
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from services.serving.confinement import confine, die_with, parent_channel
from services.web.render.filetype import FileType
from services.web.render.protocol import (
    DocumentOpened,
    Fault,
    Kind,
    OpenRequest,
    PagesRequest,
    RenderLimits,
    encode_header,
)
from services.web.render.source import PageSource, Refused

_OPEN_FILES = 32
_NICE = 10
# How far the child may run ahead of a parent that is busy storing: about one page.
_SEND_BUFFER = 1 << 20

Opener = Callable[[], PageSource]


def main() -> None:
    """Serve one document, then exit when the parent closes the socket."""
    channel = parent_channel()
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    lines = _lines(channel)
    order = next(lines, None)
    if order is None:
        return  # the parent died before it said anything
    request = msgspec.json.decode(order, type=OpenRequest)
    die_with(request.parent)
    opener = _opener(request)
    _give_way()
    confine(memory_bytes=request.limits.memory_bytes, open_files=_OPEN_FILES)
    try:
        _serve(channel, lines, request, opener)
    except (BrokenPipeError, ConnectionResetError):
        return  # the parent has gone, or wants no more


def _serve(channel: socket.socket, lines: Iterator[bytes], request: OpenRequest, opener: Opener) -> None:
    _allow_cpu(request.limits)
    try:
        source = _opened(opener, request.limits)
    except Refused as refused:
        _send(channel, Kind.DOCUMENT_FAULT, 0, refused.fault.name.encode())
        return
    opened = DocumentOpened(total_pages=source.total_pages, repaired=source.repaired)
    _send(channel, Kind.DOCUMENT, 0, msgspec.json.encode(opened))
    for line in lines:
        for page_no in msgspec.json.decode(line, type=PagesRequest).pages:
            _allow_cpu(request.limits)
            kind, payload = _page(source, page_no)
            _send(channel, kind, page_no, payload)


def _opened(opener: Opener, limits: RenderLimits) -> PageSource:
    try:
        source = opener()
    except Refused:
        raise
    except MemoryError as error:
        raise Refused(Fault.TOO_LARGE_TO_OPEN) from error
    except Exception as error:
        raise Refused(Fault.DAMAGED) from error
    if source.total_pages < 1:
        raise Refused(Fault.NO_PAGES)
    if source.total_pages > limits.max_pages:
        raise Refused(Fault.TOO_MANY_PAGES)
    return source


def _page(source: PageSource, page_no: int) -> tuple[Kind, bytes]:
    try:
        return Kind.PAGE, source.page_png(page_no)
    except Refused as refused:
        fault = refused.fault
    except MemoryError:
        fault = Fault.PAGE_MEMORY
    except Exception as error:
        fault = Fault.PAGE_MEMORY if "malloc" in str(error) else Fault.PAGE_DAMAGED
    return Kind.PAGE_FAULT, fault.name.encode()


def _send(channel: socket.socket, kind: Kind, page_no: int, payload: bytes) -> None:
    channel.sendall(encode_header(kind, page_no, len(payload)))
    channel.sendall(payload)


def _lines(channel: socket.socket) -> Iterator[bytes]:
    with channel.makefile("rb") as stream:
        yield from stream


def _opener(request: OpenRequest) -> Opener:
    """Import the one library that this document needs, while files may still be opened freely."""
    if request.file_type is FileType.PDF:
        from services.web.render.pdf import PdfSource

        return lambda: PdfSource(request.path, request.dpi, request.limits)
    from services.web.render.image import ImageSource

    return lambda: ImageSource(request.path, request.file_type, request.limits)


def _give_way() -> None:
    """Let the engine and the web service go first where cores are shared: rendering is far ahead of reading anyway."""
    os.nice(_NICE)
    # Linux weighs sessions rather than processes on most desktops, and this process has a session of its own.
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(_NICE))


def _allow_cpu(limits: RenderLimits) -> None:
    """Allow another `cpu_seconds` from here; past them the kernel ends the process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + limits.cpu_seconds + 1
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


if __name__ == "__main__":
    main()
