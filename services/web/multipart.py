"""A multipart body as a stream: parts come as they arrive, and no part is ever held whole."""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from email.message import Message

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser
from starlette.requests import ClientDisconnect, Request

from services.problem import Problem

MAX_HEADER_BYTES = 16_384
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

    def __init__(self, request: Request) -> None:
        self._body = request.stream()
        self._events: deque[tuple[str, bytes]] = deque()
        self._parser = MultipartParser(_boundary(request), self._callbacks())  # type: ignore[arg-type]
        self._in_part = False

    async def parts(self) -> AsyncIterator[Part]:
        """Every part. Raises `Problem` 400 when the body is not well-formed or ends early."""
        header, headers, size = b"", Message(), 0
        while (event := await self._next()) is not None:
            kind, data = event
            match kind:
                case "begin":
                    headers, size = Message(), 0
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
                case "headers_finished":
                    self._in_part = True
                    yield self._part(headers)
                    while await self.next_chunk() is not None:
                        pass
        if self._in_part:
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
            chunk = await anext(self._body, None)
            if chunk is None:
                return None
            try:
                self._parser.write(chunk)
            except MultipartParseError as error:
                raise _malformed(str(error)) from error
        return self._events.popleft()

    def _part(self, headers: Message) -> Part:
        name = headers.get_param("name", header="content-disposition")
        filename = headers.get_filename()
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
        }


async def drain(request: Request, most: int) -> None:
    """Read what is left of the body, up to `most` bytes, and forget it.

    An answer before the body has been read stalls the whole connection over HTTP/2, and loses the answer over
    HTTP/1.1 with clients that only listen once they have sent everything.
    """
    with suppress(ClientDisconnect, RuntimeError):  # RuntimeError: the body was read to its end already
        async for chunk in request.stream():
            most -= len(chunk)
            if most < 0:
                return


def _boundary(request: Request) -> bytes:
    header = Message()
    header["content-type"] = request.headers.get("content-type", "")
    boundary = header.get_param("boundary")
    if header.get_content_type() != "multipart/form-data" or not isinstance(boundary, str) or not boundary:
        raise Problem(400, "No file", "The body is not multipart/form-data.", _HINT)
    return boundary.encode("latin-1", "replace")


def _malformed(fault: str) -> Problem:
    return Problem(400, "Bad upload", f"The multipart body cannot be read: {fault}.", _HINT)
