"""A session of the first version, as it lies in its folder. Nothing here writes."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from services.web.render.filetype import HEAD_BYTES, FileType, file_type

# That version wrote page_001.md to page_999.md, then four digits.
_PAGE = re.compile(r"page_([0-9]{3,6})\.(md|png)")


class LeftOut(Exception):
    """The session cannot become a job; the message says why, with what to do."""


class OldSession(msgspec.Struct, frozen=True, kw_only=True):
    """What a session has."""

    #: Its folder's name, which was its id.
    name: str
    document: Path
    file_type: FileType
    #: The name that its owner gave the document.
    filename: str
    created_at: datetime
    #: Pages of the document, as far as that version knew; 0 where it did not.
    total_pages: int
    #: The engine that read the pages.
    engine: str
    #: The files with the text of pages, by the pages' numbers. Those without any text are left out: nothing was read.
    texts: dict[int, Path]
    #: The files with the images of pages.
    images: dict[int, Path]

    @property
    def is_complete(self) -> bool:
        """Whether every page of the document has been read."""
        return self.total_pages > 0 and self.texts.keys() == set(range(1, self.total_pages + 1))


def sessions(folder: Path) -> list[Path]:
    """The folders below `folder` that are sessions, in order. Raises `OSError`."""
    return [
        path
        for path in sorted(folder.iterdir())
        if path.is_dir() and not path.is_symlink() and any((path / name).exists() for name in ("input", "status.json"))
    ]


def read(folder: Path) -> OldSession:
    """The session in this folder. Raises `LeftOut`, `OSError`."""
    status = _members(folder / "status.json")
    document, kind = _document(folder / "input", str(status.get("filename") or ""))
    texts = _pages(folder / "output", "md")
    count = status.get("total_pages")
    known = count if isinstance(count, int) and count > 0 else 0
    metadata = _members(folder / "output" / "metadata.json")
    return OldSession(
        name=folder.name,
        document=document,
        file_type=kind,
        filename=str(status.get("filename") or document.name),
        created_at=_time(status.get("created_at")) or _changed(document),
        # A count that is smaller than the pages there are is of an earlier document.
        total_pages=known if known >= max(texts, default=0) else 0,
        engine=str(metadata.get("model") or metadata.get("model_name") or "unknown"),
        texts={number: path for number, path in texts.items() if path.read_text("utf-8", "replace").strip()},
        images=_pages(folder / "images", "png"),
    )


def text_of(path: Path) -> str:
    """The text of a page. Raises `OSError`."""
    return path.read_text("utf-8", "replace").strip()


def changed_at(path: Path) -> datetime:
    """When the file was last written. Raises `OSError`."""
    return _changed(path)


def _document(folder: Path, filename: str) -> tuple[Path, FileType]:
    """The document in `input`: the one that the status names, else the only one there is. Raises `LeftOut`."""
    # A link may lead to a file that is not the owner's.
    files = [path for path in sorted(folder.glob("*")) if path.is_file() and not path.is_symlink()]
    named = [path for path in files if path.name == filename]
    known = [(path, kind) for path in named or files if (kind := _kind(path)) is not None]
    if not files:
        raise LeftOut("its document is missing; what was read is in its folder output")
    if not known:
        raise LeftOut(f"{files[0].name} is neither a PDF nor a supported image")
    if len(known) > 1:
        raise LeftOut(f"{len(known)} documents in its folder input; leave one there")
    return known[0]


def _kind(path: Path) -> FileType | None:
    with path.open("rb") as file:
        return file_type(file.read(HEAD_BYTES))


def _pages(folder: Path, ending: str) -> dict[int, Path]:
    found = {}
    for path in sorted(folder.glob(f"page_*.{ending}")):
        match = _PAGE.fullmatch(path.name)
        if match and int(match[1]) > 0 and path.is_file() and not path.is_symlink():
            found[int(match[1])] = path
    return found


def _members(path: Path) -> dict[str, Any]:
    """The members of a JSON object; none where the file is missing or damaged, as after a kill of that version."""
    try:
        members = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):
        return {}
    return members if isinstance(members, dict) else {}


def _time(text: object) -> datetime | None:
    """A time as that version wrote it: ISO 8601 in UTC, without saying so."""
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def _changed(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
