"""What a child process gives up before it touches anything hostile: the child's half of `childprocess`.

A child takes its channel, reads its request, ties its life to its parent's, imports the libraries that the request
needs, and then calls `confine`, once. Every restriction that a child puts on itself is applied there, so that what it
needs (libraries, fonts, an input file) is either opened before or passed by the parent as an open descriptor.

Nothing but the standard library: a child is started for each document.
"""

import ctypes
import os
import resource
import signal
import socket
import sys
from collections.abc import Collection, Iterable
from pathlib import Path

from services.serving import jail
from services.serving.jail import Wall

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def parent_channel() -> socket.socket:
    """The socket to the parent, under a number of its own; programs that this process starts do not inherit it."""
    return socket.socket(fileno=os.dup(0))


def die_with(parent: int) -> None:
    """Be killed when the parent dies, however it dies. Only Linux can do that; elsewhere the closed socket ends the
    child, at its next read or write. `parent` is the parent's process id."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have died before the line above.
    if os.getppid() != parent:
        os._exit(1)


def confine(
    *,
    memory_bytes: int,
    open_files: int,
    cpu_seconds: int | None = None,
    walls: Collection[Wall] = (),
    keep: Iterable[int] = (),
    readable: Iterable[Path] = (),
    executable: Iterable[Path] = (),
) -> None:
    """Silence the standard streams; bound address space, open files and processor time; forbid to write files and to
    leave a core behind; close all descriptors but the standard streams and `keep`; and enter the jail (`jail.enter`
    with `walls`, `readable` and `executable`).

    A program that this process starts inherits the restrictions, and has them even when it outlives it.
    """
    silence()
    jail.close_descriptors((0, 1, 2, *keep))
    if sys.platform != "darwin":  # macOS refuses a limit of address space
        _limit(resource.RLIMIT_AS, memory_bytes)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, open_files)
    if cpu_seconds is not None:
        _limit(resource.RLIMIT_CPU, cpu_seconds)
    jail.enter(walls, readable=readable, executable=executable)


def silence() -> None:
    """Point the standard streams to nowhere: libraries print what they like, at any length, and what they print may be
    a document's text."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _limit(which: int, value: int) -> None:
    """Lower one limit, as far as it is not lower already."""
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))
