"""The folders of a hub cache: their names, refs, and the removal of what a writer left there.

A hub cache is laid out as the hub's own library does it
(https://huggingface.co/docs/huggingface_hub/guides/manage-cache).
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

import structlog

from services.worker.modelcache.lock import is_free

log = structlog.get_logger()

#: The folder of models in a cache's root.
HUB = "hub"
#: Of weights in several files: names the file of each tensor.
INDEX = "model.safetensors.index.json"
#: Weights in one file.
SINGLE = "model.safetensors"
#: How the name of a file ends that is still being written.
INCOMPLETE = ".incomplete"

# Most files in a chain of links: the snapshot's, the model's blob, perhaps a blob that models share, and one more.
# The limit ends a circle of links.
_MAX_LINKS = 4
_LOCKS = ".locks"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_WANTED = re.compile(r"[\w.+-]+\.(json|jinja|txt|model|safetensors)")


def folder_name(model: str) -> str:
    """The folder of a model's `refs`, `snapshots` and `blobs`."""
    return f"models--{model.replace('/', '--')}"


def lock_file(hub: Path, model: str) -> Path:
    """Our lock of a model, beside the locks of the hub's library."""
    return hub / _LOCKS / folder_name(model) / "gnosis-ocr.lock"


def is_commit(revision: str) -> bool:
    """Whether the revision is a commit, which needs no ref."""
    return _COMMIT.fullmatch(revision) is not None


def is_wanted(file: str) -> bool:
    """Whether an engine may need this file of a model's repository: weights in one format, and their description.

    Repositories also hold pictures, other formats of the weights and folders of other programs.
    """
    return _WANTED.fullmatch(file) is not None


def write_ref(home: Path, revision: str, commit: str) -> None:
    """Let `revision` name the snapshot of `commit`, in one step. Raises `OSError`.

    To be called last: without the ref a model does not count as present, so one that is incomplete is never used.
    """
    ref = home / "refs" / revision
    ref.parent.mkdir(parents=True, exist_ok=True)
    part = ref.with_name(f"{ref.name}.{os.getpid()}.tmp")
    part.write_text(commit, "ascii")
    part.replace(ref)


def clear(hub: Path, model: str, damaged: Iterable[Path]) -> None:
    """Remove damaged files, and files that a writer left incomplete. The caller holds the model's lock.

    Raises `OSError`.
    """
    home = hub / folder_name(model)
    for file in damaged:
        remove(file)
    for part in sorted(home.glob(f"blobs/*{INCOMPLETE}")):
        # A user's own `hf download` into the same cache holds the library's lock of the blob while it writes.
        blob = part.name.split(".")[0]
        if is_free(hub / _LOCKS / home.name / f"{blob}.lock"):
            log.info("model_leftover_removed", size_bytes=part.stat().st_size)
            part.unlink(missing_ok=True)


def remove(file: Path) -> None:
    """Remove a file of a snapshot and the blob that it links to, which would be linked to again. Raises `OSError`."""
    hub = file.parents[3].resolve()
    chain = [file]
    while chain[-1].is_symlink() and len(chain) < _MAX_LINKS:
        chain.append(chain[-1].parent / chain[-1].readlink())
    for link in chain:
        if link == file or link.parent.resolve().is_relative_to(hub):
            link.unlink(missing_ok=True)
    log.warning("model_file_damaged", file=file.name)
