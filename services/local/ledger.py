"""Which documents a command has begun to read, so that the same command goes on after an interruption."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
from filelock import FileLock

from libs.codec import BadMessage, Codec


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """Where a document is."""

    #: Its upload, from the first byte on.
    upload_id: str = ""
    #: Its job, once the upload is complete.
    job_id: str = ""
    #: The job stays in the service, whatever a later command that reads the same does.
    kept: bool = False


class _Entries(msgspec.Struct, frozen=True, kw_only=True):
    entries: dict[str, Entry] = {}


_codec = Codec(_Entries, BadMessage)


class Ledger:
    """Entries by the digest of a document's content and options, in one file that several commands may share."""

    def __init__(self, path: Path | None) -> None:
        """Without a path it is kept in memory."""
        self._path = path
        self._entries: dict[str, Entry] = {}

    def find(self, key: str) -> Entry | None:
        """The entry; None where the document was not begun."""
        return self._read().get(key)

    def put(self, key: str, entry: Entry) -> None:
        """Add or replace the entry. Raises `OSError`."""
        self._change(key, entry)

    def remove(self, key: str) -> None:
        """Forget the document. Raises `OSError`."""
        self._change(key, None)

    def _change(self, key: str, entry: Entry | None) -> None:
        if self._path is None:
            self._entries = _changed(self._entries, key, entry)
            return
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(self._path.with_suffix(".lock")):
            entries = _changed(self._read(), key, entry)
            unfinished = self._path.with_suffix(".new")
            unfinished.write_bytes(_codec.encode(_Entries(entries=entries)))
            unfinished.replace(self._path)

    def _read(self) -> dict[str, Entry]:
        if self._path is None:
            return self._entries
        try:
            return _codec.decode(self._path.read_bytes()).entries
        except (FileNotFoundError, BadMessage):
            # Without it the documents are read again, which loses time and nothing else.
            return {}


def _changed(entries: dict[str, Entry], key: str, entry: Entry | None) -> dict[str, Entry]:
    kept = {name: value for name, value in entries.items() if name != key}
    return kept if entry is None else {**kept, key: entry}


def state_folder(setting: str, environ: Mapping[str, str]) -> Path:
    """The folder of this user in which interrupted work is kept (XDG Base Directory Specification)."""
    if setting:
        return Path(setting).expanduser()
    state = environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "gnosis-ocr"
