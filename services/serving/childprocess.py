"""A Python program in a process of its own, as its parent sees it: started, spoken to, killed with all it started.

    async with ChildProcess(("-m", "services.some.child")) as child:
        async with time_limit(30.0):
            await child.send(request)
            answer = await child.receive_exactly(ANSWER_BYTES)

The process exists so that what happens in it (a crash, a hang, gigabytes of memory) ends at its border. It gets a
socket to its parent as standard input, the descriptors and environment variables named by its caller, and nothing else
of the service. `confinement` is the child's half: what the program gives up before it touches anything hostile.

What the two say to each other is the caller's protocol; this module moves bytes.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_ROOT = Path(__file__).resolve().parents[2]
#: Bytes. Chosen: large enough for few wake-ups, small enough that a child cannot run far ahead of a busy parent.
_RECEIVE_BUFFER = 1 << 18


class ChildLost(Exception):
    """The child is of no more use; the message is a few words for the log."""


class ChildTimedOut(ChildLost):
    """The child did not read its request or did not answer in time."""


class ChildProcess:
    """One running child. Its maker calls `kill` in every case, or uses it in `async with`."""

    def __init__(
        self,
        program: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        descriptors: Sequence[int] = (),
    ) -> None:
        """Start Python with the arguments `program`.

        `environment` is added to the few variables that Python needs; nothing else of this process's environment
        reaches the child, so no secret does. `descriptors` stay open in the child under their numbers.

        Call it in a thread that lives as long as the service: Linux sends the signal that `confinement.die_with` asks
        for when the *thread* that started the child ends.
        """
        self._socket, theirs = socket.socketpair()
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                # -P and -s: no module is imported from the working directory or the user's own site-packages.
                [sys.executable, "-P", "-s", *program],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                # Standard error stays the service's, so that a child that fails to start can be diagnosed; it is closed
                # by `confinement.silence` before the child touches anything hostile.
                pass_fds=descriptors,
                cwd="/",
                env=_environment(environment or {}),
                start_new_session=True,
            )
        except BaseException:
            self._socket.close()
            raise
        finally:
            theirs.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()

    @property
    def pid(self) -> int:
        """Its process id, which is that of its session and process group too."""
        return self._process.pid

    async def send(self, message: bytes) -> None:
        """Return when all of `message` is on its way. Raises `ChildLost`."""
        try:
            await asyncio.get_running_loop().sock_sendall(self._socket, message)
        except OSError as error:
            raise ChildLost("died") from error

    def end_input(self) -> None:
        """Let the child read the end of its input; it can still be received from. Raises `ChildLost`."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise ChildLost("died") from error

    async def receive(self) -> bytes:
        """The bytes that come next, as many as there are; empty at the end of the child's side. Raises `ChildLost`."""
        try:
            return await asyncio.get_running_loop().sock_recv(self._socket, _RECEIVE_BUFFER)
        except OSError as error:
            raise ChildLost("died") from error

    async def receive_exactly(self, count: int) -> bytes:
        """The next `count` bytes. Raises `ChildLost`, also where the child ends before it has sent them."""
        buffer = bytearray(count)
        view = memoryview(buffer)
        received = 0
        loop = asyncio.get_running_loop()
        try:
            while received < count:
                got = await loop.sock_recv_into(self._socket, view[received:])
                if not got:
                    raise ChildLost("died")
                received += got
        except OSError as error:
            raise ChildLost("died") from error
        return bytes(buffer)

    async def kill(self) -> None:
        """End the child and its process group, close the socket, and leave no zombie. Safe to call again."""
        self._socket.close()
        if self._process.returncode is not None:
            return
        # The group may outlive the child; until the child is waited for, the group's number cannot be another's.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        # In a thread, because a dying process with gigabytes to give back takes a moment; shielded, because a caller
        # that is cancelled meanwhile must not leave a zombie.
        await asyncio.shield(asyncio.to_thread(self._process.wait))


@contextlib.asynccontextmanager
async def time_limit(seconds: float) -> AsyncIterator[None]:
    """Bound the wall-clock time of sends and receives. Raises `ChildTimedOut`."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise ChildTimedOut("timed out") from error


def inherited_python_path() -> str:
    """A `PYTHONPATH` with which a child finds every module that this process finds, those of the operator included."""
    return os.pathsep.join(dict.fromkeys([str(_ROOT), *filter(None, sys.path)]))


def _environment(additions: Mapping[str, str]) -> dict[str, str]:
    environment = {"PYTHONPATH": str(_ROOT), "LANG": "C.UTF-8"}
    if "LD_LIBRARY_PATH" in os.environ:  # an interpreter built with a shared library may need it to start
        environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return {**environment, **additions}
