"""HTTP/2 as Hypercorn serves it, with the ends that it leaves out.

Hypercorn (0.18) closes connections without a request, bounds their number of streams, frames and headers, and ends a
connection after 1,000 requests. It lacks three things, which are here:

- A connection that has sent its preface and no request is not idle for Hypercorn, and stays for ever.
- A stream whose answer has ended before its request is left half open. RFC 9113, section 8.1, asks for a reset with
  NO_ERROR: the client then stops sending, and other streams of the connection go on.
- Bytes that still arrive for such a stream end the whole connection with a `KeyError`.
"""

from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from hypercorn.events import Updated
from hypercorn.protocol.events import Event
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.protocol.ws_stream import WSStream


class Http2(H2Protocol):
    """Serves one connection; set as `hypercorn.protocol.H2Protocol`, since Hypercorn has no setting for it."""

    async def initiate(self, headers: list[tuple[bytes, bytes]] | None = None, settings: bytes | None = None) -> None:
        self.streams = _Streams()
        await super().initiate(headers, settings)
        await self.send(Updated(idle=self.idle))

    async def _send_data(self, stream_id: int) -> None:
        await super()._send_data(stream_id)
        stream = self.connection.streams.get(stream_id)
        if stream_id in self.stream_buffers or stream is None or stream.closed:
            return
        try:
            self.connection.reset_stream(stream_id, ErrorCodes.NO_ERROR)
        except ProtocolError:  # the connection has ended
            return
        await self._flush()


class _Streams(dict[int, HTTPStream | WSStream]):
    """The open streams. Any other takes what arrives for it, and drops it."""

    def __missing__(self, stream_id: int) -> "HTTPStream | WSStream":
        return _ENDED


class _EndedStream(HTTPStream):
    def __init__(self) -> None:
        """Nothing of a stream is needed: it handles no event."""

    async def handle(self, event: Event) -> None:
        """Drop it."""


_ENDED = _EndedStream()
