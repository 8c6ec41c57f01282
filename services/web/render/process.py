"""A render child as its parent sees it: started, told, listened to with suspicion, and killed."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import msgspec

from services.web.render.protocol import (
    HEADER_BYTES,
    BadFrame,
    Kind,
    OpenRequest,
    PagesRequest,
    RenderLimits,
    decode_header,
)

PROGRAM = ("-m", "services.web.render.child")
"""Arguments to Python; the fault tests put a lying child in its place."""

_ROOT = Path(__file__).resolve().parents[3]
_RECEIVE_BUFFER = 1 << 18


class ChildLost(Exception):
    """The child is of no more use; `why` is a word for the log."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class ChildTimedOut(ChildLost):
    """The child did not answer in time."""


class Child:
    """One render child. Whoever makes it calls `kill`, whatever happened."""

    def __init__(self, limits: RenderLimits) -> None:
        """Start the process. Call it in a thread that lives as long as the service: Linux ends the child when
        the *thread* that started it ends."""
        self._limits = limits
        self._socket, theirs = socket.socketpair()
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                [sys.executable, "-P", "-s", *PROGRAM],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                cwd="/",
                env=_environment(),
                start_new_session=True,
            )
        except BaseException:
            self._socket.close()
            raise
        finally:
            theirs.close()

    @property
    def pid(self) -> int:
        """Its process id, which is that of its process group too."""
        return self._process.pid

    async def send(self, request: OpenRequest | PagesRequest) -> None:
        """Send a request. Raises `ChildLost`."""
        try:
            async with asyncio.timeout(self._limits.open_seconds):
                await asyncio.get_running_loop().sock_sendall(self._socket, msgspec.json.encode(request) + b"\n")
        except TimeoutError as error:
            raise ChildTimedOut("deaf") from error
        except OSError as error:
            raise ChildLost("died") from error

    async def frame(self, seconds: float) -> tuple[Kind, int, bytes]:
        """The next frame: kind, page and payload, whole within `seconds`. Raises `ChildLost`."""
        try:
            async with asyncio.timeout(seconds):
                kind, page_no, length = decode_header(await self._exactly(HEADER_BYTES), self._limits)
                return kind, page_no, await self._exactly(length)
        except TimeoutError as error:
            raise ChildTimedOut("silent") from error
        except BadFrame as error:
            raise ChildLost("nonsense") from error
        except OSError as error:
            raise ChildLost("died") from error

    async def kill(self) -> None:
        """End the child and its process group, close the socket, and leave no zombie. Safe to call again."""
        self._socket.close()
        if self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        # A dying process with gigabytes to give back takes a moment; a cancelled caller leaves no zombie.
        await asyncio.shield(asyncio.to_thread(self._process.wait))

    async def _exactly(self, count: int) -> bytes:
        buffer = bytearray(count)
        view = memoryview(buffer)
        received = 0
        loop = asyncio.get_running_loop()
        while received < count:
            got = await loop.sock_recv_into(self._socket, view[received:])
            if not got:
                raise ChildLost("died")
            received += got
        return bytes(buffer)


def _environment() -> dict[str, str]:
    """Only what Python needs to start: no secret of the service reaches the child."""
    environment = {
        "PYTHONPATH": str(_ROOT),
        "LANG": "C.UTF-8",
        "OPENBLAS_NUM_THREADS": "1",  # each thread of numpy's would take address space
        "MALLOC_ARENA_MAX": "1",
    }
    if "LD_LIBRARY_PATH" in os.environ:
        environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return environment
