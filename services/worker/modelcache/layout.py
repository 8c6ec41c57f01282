"""Names in a hub cache. Pure: nothing here touches a disk, a bucket or the hub."""

import re

HUB = "hub"
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
LEFT_OVER = ".incomplete"

_COMMIT = re.compile(r"[0-9a-f]{40}")
_WANTED = re.compile(r"[\w.+-]+\.(json|jinja|txt|model|safetensors)")


def folder_name(model: str) -> str:
    """The folder of a model's `refs`, `snapshots` and `blobs`."""
    return f"models--{model.replace('/', '--')}"


def is_commit(revision: str) -> bool:
    """Whether the revision is a commit, which no ref has to name."""
    return _COMMIT.fullmatch(revision) is not None


def is_wanted(file: str) -> bool:
    """Whether an engine may need this file of a model's repository: weights once, and what describes them.

    Repositories hold pictures, other formats of the weights and other programs' folders besides.
    """
    return _WANTED.fullmatch(file) is not None
