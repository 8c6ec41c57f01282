"""A multipart/form-data body as a stream: parts are read as they arrive, and none is ever held whole."""

from collections import deque
from collections.abc import AsyncIterator, Callable
from email.message import Message
from enum import Enum, auto

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser
from starlette.requests import Request

from services.serving.body import ArrivingBody, Pace, TooSlow, announced_bytes
from services.serving.problem import Problem

#: Bytes of a part's headers at most. Chosen: room for the longest file name, and little to hold.
MAX_HEADER_BYTES = 16_384
#: Parts of a form at most. Chosen: an upload has four; each more costs the sender a few bytes and us a parsed header.
MAX_PARTS = 100

_HINT = "Send the file as the multipart/form-data field named file, as in: curl -F file=@document.pdf"


class Event(Enum):
    """What the parser found, in the order in which it found it."""

    PART_BEGIN = auto()
    HEADER_FIELD = auto()
    HEADER_VALUE = auto()
    HEADER_END = auto()
    HEADERS_FINISHED = auto()
    PART_DATA = auto()
    PART_END = auto()
    FORM_END = auto()


class Part:
    """One field of the form. Its bytes can be read once."""

    def __init__(self, name: str, filename: str | None, form: "Form") -> None:
        #: The name of the field; empty when it has none.
        self.name = name
        #: The name of the file as the client sent it; `None` for a field that is not a file, or has no file name.
        self.filename = filename
        self._form = form

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes of the part, as they arrive."""
        while (chunk := await self._form.next_chunk()) is not None:
            yield chunk


class Form:
    """The parts of a request's body, in order. Bytes of a part that its reader does not read are skipped."""

    def __init__(self, request: Request, *, max_bytes: int, pace: Pace) -> None:
        """Read at most `max_bytes` of body, at this pace. Raises `Problem` 400, and 413 where more is announced."""
        self._body = ArrivingBody(request, pace)
        self._left = self._max_bytes = max_bytes
        if (announced_bytes(request) or 0) > max_bytes:
            raise self._too_large()
        self._events: deque[tuple[Event, bytes]] = deque()
        try:
            self._parser = MultipartParser(_boundary(request), self._callbacks())  # type: ignore[arg-type]
        except FormParserError as error:
            raise _malformed(str(error)) from error
        self._in_part = self._ended = False

    async def parts(self) -> AsyncIterator[Part]:
        """Every part. Raises `Problem`: 400 when the body is not well-formed or ends early, 408 when it stalls, 413."""
        header, headers, size, count = b"", Message(), 0, 0
        while (event := await self._next()) is not None:
            found, data = event
            match found:
                case Event.PART_BEGIN:
                    headers, size, count = Message(), 0, count + 1
                    if count > MAX_PARTS:
                        raise _malformed(f"it has more than {MAX_PARTS} parts")
                case Event.HEADER_FIELD:
                    header += data
                case Event.HEADER_VALUE:
                    size += len(header) + len(data)
                    if size > MAX_HEADER_BYTES:
                        raise _malformed("a part's header is too long")
                    previous = headers.get(header.decode("latin-1"), "")
                    del headers[header.decode("latin-1")]
                    headers[header.decode("latin-1")] = previous + data.decode("utf-8", "replace")
                case Event.HEADER_END:
                    header = b""
                case Event.FORM_END:
                    self._ended = True
                case Event.HEADERS_FINISHED:
                    self._in_part = True
                    yield self._part(headers)
                    while await self.next_chunk() is not None:
                        pass
        if not self._ended:
            # Also when it breaks off between two parts: the missing fields may be options of the job.
            raise _malformed("it ends before its last boundary")

    async def next_chunk(self) -> bytes | None:
        """The next bytes of the current part, or `None` at its end."""
        while self._in_part:
            event = await self._next()
            if event is None:
                raise _malformed("it ends before its last boundary")
            found, data = event
            if found is Event.PART_DATA:
                return data
            if found is Event.PART_END:
                self._in_part = False
        return None

    async def _next(self) -> tuple[Event, bytes] | None:
        while not self._events:
            try:
                chunk = await self._body.next()
            except TooSlow as error:
                # Without this an upload whose client vanished without closing the connection would be active for ever.
                raise Problem(
                    408, "Upload stalled", str(error), "Check the connection and upload the file again."
                ) from error
            if chunk is None:
                return None
            self._left -= len(chunk)
            if self._left < 0:
                raise self._too_large()
            try:
                self._parser.write(chunk)
            except FormParserError as error:
                raise _malformed(str(error)) from error
        return self._events.popleft()

    def _too_large(self) -> Problem:
        return Problem(
            413,
            "Body too large",
            f"The body of an upload may have at most {self._max_bytes:,} bytes.",
            "Split the document and upload the parts.",
        )

    def _part(self, headers: Message) -> Part:
        try:
            name = headers.get_param("name", header="content-disposition")
            filename = headers.get_filename()
        except ValueError as error:  # a character set that cannot decode, a number of thousands of digits
            raise _malformed("the name of a part cannot be decoded") from error
        return Part(str(name or ""), filename, self)

    def _callbacks(self) -> dict[str, object]:
        def data(event: Event) -> Callable[[bytes, int, int], None]:
            return lambda buffer, start, end: self._events.append((event, buffer[start:end]))

        def mark(event: Event) -> Callable[[], None]:
            return lambda: self._events.append((event, b""))

        return {
            "on_part_begin": mark(Event.PART_BEGIN),
            "on_part_data": data(Event.PART_DATA),
            "on_part_end": mark(Event.PART_END),
            "on_header_field": data(Event.HEADER_FIELD),
            "on_header_value": data(Event.HEADER_VALUE),
            "on_header_end": mark(Event.HEADER_END),
            "on_headers_finished": mark(Event.HEADERS_FINISHED),
            "on_end": mark(Event.FORM_END),
        }


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
