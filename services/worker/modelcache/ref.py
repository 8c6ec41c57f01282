"""The ref of a snapshot: written last, so that a model counts only once all of it is there."""

import os
from pathlib import Path


def write_ref(home: Path, revision: str, commit: str) -> None:
    """Let `revision` name the snapshot of `commit`, at once and whole. Raises `OSError`."""
    ref = home / "refs" / revision
    ref.parent.mkdir(parents=True, exist_ok=True)
    part = ref.with_name(f"{ref.name}.{os.getpid()}.tmp")
    part.write_text(commit, "ascii")
    part.replace(ref)
