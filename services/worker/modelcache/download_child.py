"""The child of a download: the only process that loads the hub's library to go online.

It reads a `ModelRequest` from its parent's channel and ends when that closes, answers with `DownloadEvent`s, and holds
the cache's lock, which it has inherited, until its end.
"""

import hashlib
import os
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from services.serving.confinement import parent_channel, silence
from services.worker.modelcache import disk, hubcache
from services.worker.modelcache.download_protocol import EVENTS, REQUESTS, DownloadEvent, ModelRequest

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoSibling

Report = Callable[[DownloadEvent], None]

#: Bytes hashed at a time.
BLOCK = 1 << 20
#: Files downloaded at once. Chosen: a model has a few large files, and more connections seldom make it faster.
FILES_AT_ONCE = 4


class DownloadFailed(Exception):
    """The model cannot be downloaded; the message says what to do."""


def main() -> int:
    """Download, and report how it ended. The exit code: 0 for a whole model."""
    channel = parent_channel()
    # A library that prints must not write into the events.
    silence()
    with channel.makefile("rb") as lines:
        line = lines.readline()
    if not line:
        return 1  # the parent died before it sent a request
    request = REQUESTS.decode(line)
    threading.Thread(target=_end_with_parent, args=(channel,), daemon=True).start()

    def report(event: DownloadEvent) -> None:
        channel.sendall(EVENTS.encode(event) + b"\n")

    try:
        _download(request, report)
    except DownloadFailed as error:
        report(DownloadEvent(refused=str(error)))
        return 1
    report(DownloadEvent(done=True))
    return 0


def _download(request: ModelRequest, report: Report) -> None:
    try:
        import huggingface_hub
    except ModuleNotFoundError as error:
        raise DownloadFailed(
            f"Downloading the model needs the package {error.name}; install the extra: pip install 'gnosis-ocr[gpu]'."
        ) from error
    try:
        _fetch(huggingface_hub.HfApi(), request, report)
    except DownloadFailed:
        raise
    except Exception as error:
        raise DownloadFailed(_describe(error, request)) from error


def _fetch(api: "HfApi", request: ModelRequest, report: Report) -> None:
    hub = Path(request.hub)
    home = hub / hubcache.folder_name(request.model)
    found = api.model_info(request.model, revision=request.revision, files_metadata=True)
    commit = found.sha or ""
    if not hubcache.is_commit(commit):
        raise DownloadFailed(
            f"The hub at {api.endpoint} does not say which commit {request.revision} is; check HF_ENDPOINT."
        )
    wanted = {file.rfilename: file for file in found.siblings or () if hubcache.is_wanted(file.rfilename)}
    folder = home / "snapshots" / commit
    coming = [file for name, file in sorted(wanted.items()) if not (folder / name).exists()]
    needed = sum(file.size or 0 for file in coming)
    hub.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(hub).free) < needed:
        raise DownloadFailed(disk.describe_lack(needed, free, hub.parent, request.moves_root))
    report(DownloadEvent(bytes_total=needed))
    # By its commit, so that the library writes no ref: it would write it before the first file, and a ref has to show
    # that all files are there.
    api.snapshot_download(
        request.model, revision=commit, cache_dir=hub, allow_patterns=list(wanted), max_workers=FILES_AT_ONCE
    )
    for file in coming:
        _check(folder / file.rfilename, file)
    if request.revision != commit:
        hubcache.write_ref(home, request.revision, commit)


def _check(file: Path, listed: "RepoSibling") -> None:
    """Compare a downloaded file with the hash that the hub lists, since the library compares sizes alone. Raises
    `DownloadFailed` for another content, after removing it."""
    if listed.lfs is not None:
        expected, digest = listed.lfs.sha256, hashlib.sha256()
    elif listed.blob_id is not None:
        # Git's name of a file with this content.
        size = file.stat().st_size
        expected, digest = listed.blob_id, hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    else:
        return
    with file.open("rb") as content:
        while block := content.read(BLOCK):
            digest.update(block)
    if digest.hexdigest() != expected:
        hubcache.remove(file)
        raise DownloadFailed(f"{file.name} was damaged on its way from the hub and has been removed. Ask again.")


def _describe(error: Exception, request: ModelRequest) -> str:
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    model, place = request.model, os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    for cause in _causes(error):
        match cause:
            case GatedRepoError():
                return (
                    f"The model {model} is given only to those who have accepted its terms. Accept them at "
                    f"{place}/{model}, and set HF_TOKEN to a token of that account."
                )
            case RevisionNotFoundError():
                return f"The model {model} has no revision {request.revision!r}. Correct MODEL_REVISION."
            case RepositoryNotFoundError():
                return (
                    f"There is no model {model} at {place}, or not for us. Correct MODEL_NAME; for a private model "
                    "set HF_TOKEN."
                )
            case HfHubHTTPError():
                return _describe_status(cause.response.status_code, place)
            case OSError() if words := disk.describe_fault(cause, Path(request.hub).parent, request.moves_root):
                return words
    return (
        f"The model {model} cannot be downloaded from {place} ({type(error).__name__}). Check this machine's way "
        "to the network (HTTPS_PROXY, HF_ENDPOINT) and ask again, or bring the model another way (docs/model-cache.md)."
    )


def _describe_status(status: int, place: str) -> str:
    if status in (401, 403):
        return f"{place} refuses the model ({status}). Correct HF_TOKEN, or unset it."
    return f"{place} answers {status}. Ask again later, or bring the model another way (docs/model-cache.md)."


def _causes(error: BaseException | None) -> Iterable[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _end_with_parent(channel: socket.socket) -> None:
    """End this process when the parent's side of the channel closes: a parent that was killed cannot send anything."""
    while channel.recv(1):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
