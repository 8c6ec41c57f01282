"""What a child process does to itself before it touches anything hostile. Nothing but the standard library."""

import ctypes
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Be killed when the parent dies, however it dies. Other than on Linux the closed socket has to do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # It may have died before the line above.
    if os.getppid() != parent:
        os._exit(1)


def silence() -> None:
    """Point the standard streams to nowhere: libraries print what they like, at any length."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def confine(*, memory_bytes: int, open_files: int) -> None:
    """Bound the address space and the open files; forbid to write files, and to leave a core behind.

    A program that this process starts inherits the limits, and has them even when it outlives it.
    """
    if sys.platform != "darwin":  # which refuses a limit of address space
        limit(resource.RLIMIT_AS, memory_bytes)
    limit(resource.RLIMIT_FSIZE, 0)
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_NOFILE, open_files)


def limit(which: int, value: int) -> None:
    """Lower one limit, as far as it is not lower already."""
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))
