"""The parent's end of a render child: requests out, frames in, every header checked."""

from services.serving.childprocess import ChildLost, ChildProcess, time_limit
from services.web.render.protocol import (
    HEADER_BYTES,
    BadFrame,
    FrameKind,
    OpenRequest,
    PagesRequest,
    RenderLimits,
    decode_header,
    encode_request,
)

#: Arguments to Python; the fault tests put a lying child in its place.
PROGRAM = ("-m", "services.web.render.child")

_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",  # each thread of numpy's would take address space
    "MALLOC_ARENA_MAX": "1",  # likewise each arena of the C library
}


class Renderer:
    """One render child. Its maker calls `kill` in every case."""

    def __init__(self, limits: RenderLimits) -> None:
        self._limits = limits
        self._process = ChildProcess(PROGRAM, environment=_ENVIRONMENT)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def send(self, request: OpenRequest | PagesRequest) -> None:
        """Send a request. Raises `ChildLost`."""
        async with time_limit(self._limits.open_seconds):
            await self._process.send(encode_request(request))

    async def receive_frame(self, seconds: float) -> tuple[FrameKind, int, bytes]:
        """The next frame: kind, page and payload, whole within `seconds`. Raises `ChildLost`."""
        try:
            async with time_limit(seconds):
                header = await self._process.receive_exactly(HEADER_BYTES)
                kind, page_no, length = decode_header(header, self._limits)
                return kind, page_no, await self._process.receive_exactly(length)
        except BadFrame as error:
            raise ChildLost("bad frame") from error

    async def kill(self) -> None:
        """End the child, as `ChildProcess.kill` does."""
        await self._process.kill()
