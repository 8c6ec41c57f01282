"""What a writer that died has left in a hub cache, and files that turned out damaged."""

from pathlib import Path

import structlog

from services.worker.modelcache import layout
from services.worker.modelcache.lock import is_free
from services.worker.modelcache.snapshot import Snapshot

log = structlog.get_logger()

LINKS = 4


def clear(hub: Path, model: str, found: Snapshot) -> None:
    """Remove both. The caller holds the model's lock. Raises `OSError`."""
    home = hub / layout.folder_name(model)
    for damaged in found.damaged:
        remove(damaged)
    for part in sorted(home.glob(f"blobs/*{layout.LEFT_OVER}")):
        # A user's own `hf download` in the same cache holds the hub's lock of the blob while it writes.
        blob = part.name.split(".")[0]
        if is_free(hub / ".locks" / home.name / f"{blob}.lock"):
            log.info("model_leftover_removed", size_bytes=part.stat().st_size)
            part.unlink(missing_ok=True)


def remove(file: Path) -> None:
    """A file of a snapshot, and what it links to: a blob that stayed would be linked to again. Raises `OSError`."""
    hub = file.parents[3].resolve()
    chain = [file]
    # From the snapshot to the model's blobs, and perhaps from there to the blobs that models share.
    while chain[-1].is_symlink() and len(chain) < LINKS:
        chain.append(chain[-1].parent / chain[-1].readlink())
    for link in chain:
        if link == file or link.parent.resolve().is_relative_to(hub):
            link.unlink(missing_ok=True)
    log.warning("model_file_damaged", file=file.name)
