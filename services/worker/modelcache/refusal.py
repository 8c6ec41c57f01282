"""Faults of the disk in the words of somebody who can mend them."""

import errno
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


def of_disk(error: OSError, root: Path, moves_root: str) -> str | None:
    """One sentence and what to do; `None` for a fault that is not the disk's. `moves_root` is a setting's name."""
    if error.errno in _FULL:
        return f"The disk of the model cache {root} is full. Free some of it, or set {moves_root} to a larger one."
    if error.errno in _DENIED:
        kind = "is read-only" if error.errno == errno.EROFS else "does not let this user write"
        return (
            f"The model cache {root} {kind}. Let user and mount write there, set {moves_root} to another folder, "
            "or put the whole model there beforehand."
        )
    return None


def no_room(needed: int, free: int, root: Path, moves_root: str) -> str:
    """What is to come does not fit."""
    return (
        f"The model needs {needed / 1e9:.1f} GB, and the disk of the model cache {root} has {free / 1e9:.1f} GB free. "
        f"Free some of it, or set {moves_root} to a larger one."
    )
