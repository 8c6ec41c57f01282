"""A multipart body as a stream: parts come as they arrive, and no part is ever held whole."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from email.message import Message

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser
from starlette.requests import ClientDisconnect, Request

from services.serving.problem import Problem

MAX_HEADER_BYTES = 16_384
MAX_PARTS = 100
"""A form of ours has four; each more costs the sender a few bytes and us a header to parse."""

_HINT = "Send the file as the multipart/form-data field named file, as in: curl -F file=@document.pdf"


class Part:
    """One field: its name, its file name if it has one, and its bytes, which can be read once."""

    def __init__(self, name: str, filename: str | None, form: "Form") -> None:
        self.name = name
        self.filename = filename
        self._form = form

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes of the part, as they arrive."""
        while (chunk := await self._form.next_chunk()) is not None:
            yield chunk


class Form:
    """The parts of a request's body, in order. What a part's reader leaves unread is skipped."""

    def __init__(self, request: Request, *, max_bytes: int, stall_seconds: float) -> None:
        """Read at most `max_bytes` of body, and wait `stall_seconds` for each next piece of it."""
        self._body = request.stream()
        self._left = max_bytes
        self._max_bytes = max_bytes
        self._stall_seconds = stall_seconds
        self._events: deque[tuple[str, bytes]] = deque()
        try:
            self._parser = MultipartParser(_boundary(request), self._callbacks())  # type: ignore[arg-type]
        except FormParserError as error:
            raise _malformed(str(error)) from error
        self._in_part = self._ended = False

    async def parts(self) -> AsyncIterator[Part]:
        """Every part. Raises `Problem`: 400 when the body is not well-formed or ends early, 408 when it stalls, 413."""
        header, headers, size, count = b"", Message(), 0, 0
        while (event := await self._next()) is not None:
            kind, data = event
            match kind:
                case "begin":
                    headers, size, count = Message(), 0, count + 1
                    if count > MAX_PARTS:
                        raise _malformed(f"it has more than {MAX_PARTS} parts")
                case "field":
                    header += data
                case "value":
                    size += len(header) + len(data)
                    if size > MAX_HEADER_BYTES:
                        raise _malformed("a part's header is too long")
                    previous = headers.get(header.decode("latin-1"), "")
                    del headers[header.decode("latin-1")]
                    headers[header.decode("latin-1")] = previous + data.decode("utf-8", "replace")
                case "header_end":
                    header = b""
                case "form_end":
                    self._ended = True
                case "headers_finished":
                    self._in_part = True
                    yield self._part(headers)
                    while await self.next_chunk() is not None:
                        pass
        if not self._ended:
            # Between two parts, too: the fields still to come may be what the document needs.
            raise _malformed("it ends before its last boundary")

    async def next_chunk(self) -> bytes | None:
        """The next bytes of the part in hand, or `None` at its end."""
        while self._in_part:
            event = await self._next()
            if event is None:
                raise _malformed("it ends before its last boundary")
            kind, data = event
            if kind == "data":
                return data
            if kind == "end":
                self._in_part = False
        return None

    async def _next(self) -> tuple[str, bytes] | None:
        while not self._events:
            try:
                async with asyncio.timeout(self._stall_seconds):
                    chunk = await anext(self._body, None)
            except TimeoutError as error:
                # A client that vanished without a word would hold its place among the active jobs for ever.
                raise Problem(
                    408,
                    "Upload stalled",
                    f"Nothing arrived for {self._stall_seconds:g} seconds.",
                    "Check the connection and upload the file again.",
                ) from error
            if chunk is None:
                return None
            self._left -= len(chunk)
            if self._left < 0:
                raise Problem(
                    413,
                    "Body too large",
                    f"The body of an upload may have at most {self._max_bytes:,} bytes.",
                    "Split the document and upload the parts.",
                )
            try:
                self._parser.write(chunk)
            except FormParserError as error:
                raise _malformed(str(error)) from error
        return self._events.popleft()

    def _part(self, headers: Message) -> Part:
        try:
            name = headers.get_param("name", header="content-disposition")
            filename = headers.get_filename()
        except ValueError as error:  # a character set that cannot decode, a number of thousands of digits
            raise _malformed("the name of a part cannot be decoded") from error
        return Part(str(name or ""), filename, self)

    def _callbacks(self) -> dict[str, object]:
        def data(kind: str) -> object:
            return lambda buffer, start, end: self._events.append((kind, buffer[start:end]))

        def mark(kind: str) -> object:
            return lambda: self._events.append((kind, b""))

        return {
            "on_part_begin": mark("begin"),
            "on_part_data": data("data"),
            "on_part_end": mark("end"),
            "on_header_field": data("field"),
            "on_header_value": data("value"),
            "on_header_end": mark("header_end"),
            "on_headers_finished": mark("headers_finished"),
            "on_end": mark("form_end"),
        }


async def drain(request: Request, most: int, stall_seconds: float) -> None:
    """Read what is left of the body, up to `most` bytes and as long as it flows, and forget it.

    An answer before the body has been read stalls the whole connection over HTTP/2, and loses the answer over
    HTTP/1.1 with clients that only listen once they have sent everything.
    """
    body = request.stream()
    with suppress(ClientDisconnect, RuntimeError, TimeoutError):  # RuntimeError: it was read to its end already
        while most >= 0:
            async with asyncio.timeout(stall_seconds):
                chunk = await anext(body, None)
            if chunk is None:
                return
            most -= len(chunk)


def _boundary(request: Request) -> bytes:
    header = Message()
    header["content-type"] = request.headers.get("content-type", "")
    try:
        boundary = header.get_param("boundary")
    except ValueError as error:  # as with the names of parts
        raise _malformed("its boundary cannot be decoded") from error
    if header.get_content_type() != "multipart/form-data" or not isinstance(boundary, str) or not boundary:
        raise Problem(400, "No file", "The body is not multipart/form-data.", _HINT)
    return boundary.encode("latin-1", "replace")


def _malformed(fault: str) -> Problem:
    return Problem(400, "Bad upload", f"The multipart body cannot be read: {fault}.", _HINT)
