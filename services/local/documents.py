"""The documents of a command: what its arguments name, and the files that their results go to."""

import glob
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePath
from typing import BinaryIO

import msgspec

from services.local.exit import BAD_INPUT, CommandError

#: The endings of files that are taken from a folder. A file that is named itself may have any: its content decides.
ENDINGS = frozenset({".pdf", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".jp2", ".j2k", ".jpx"})
#: The argument that stands for standard input; the command takes `-` for it, too.
STDIN = "/dev/stdin"


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """One document to read."""

    #: Its bytes are here.
    path: Path
    #: As the person knows it.
    name: str
    #: Of its results, below the output folder and without their ending.
    target: PurePath


def find(arguments: Sequence[str], *, read_stdin: Callable[[], Path]) -> list[Document]:
    """The documents that the arguments name, each once: files, folders with all below them, patterns, and `STDIN`.

    `read_stdin` stores standard input and returns the file. Raises `CommandError`.
    """
    found: dict[Path, tuple[str, PurePath]] = {}
    for argument in arguments:
        if argument == STDIN:
            found.setdefault(read_stdin(), ("standard input", PurePath("stdin.pdf")))
            continue
        for path, below in _named(argument):
            _check(path)
            found.setdefault(path, (str(path), below))
    targets = _targets([below for _, below in found.values()])
    return [
        Document(path=path, name=name, target=target)
        for (path, (name, _)), target in zip(found.items(), targets, strict=True)
    ]


def single(path: Path) -> Document:
    """The document of this file. Raises `CommandError`."""
    _check(path)
    return Document(path=path, name=str(path), target=PurePath(path.stem))


def _named(argument: str) -> Iterable[tuple[Path, PurePath]]:
    """The files that one argument names, each with its path below the output folder."""
    path = Path(argument)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in ENDINGS and file.is_file())
        if not files:
            raise CommandError(BAD_INPUT, f"{path}: no documents in this folder. Name a PDF or an image.")
        return [(file, PurePath(file.relative_to(path))) for file in files]
    # A pattern that the shell did not expand, as it was quoted or the shell has none.
    if not path.exists() and glob.has_magic(argument):
        files = sorted(Path(name) for name in glob.glob(argument, recursive=True))  # noqa: PTH207 - Path takes no absolute one
        files = [file for file in files if file.is_file()]
        if not files:
            raise CommandError(BAD_INPUT, f"{argument}: no file matches. Check the pattern.")
        return [(file, PurePath(file.name)) for file in files]
    return [(path, PurePath(path.name))]


def _check(path: Path) -> None:
    """Raise `CommandError` for what can be refused without a service."""
    if not path.exists():
        raise CommandError(BAD_INPUT, f"{path}: there is no such file. Check the path.")
    if not path.is_file():
        raise CommandError(BAD_INPUT, f"{path}: not a file. Give a PDF or image.")
    if not os.access(path, os.R_OK):
        raise CommandError(BAD_INPUT, f"{path}: may not be read. Check its permissions.")
    if path.stat().st_size == 0:
        raise CommandError(BAD_INPUT, f"{path}: the file is empty. Give a PDF or image.")


def _targets(paths: Sequence[PurePath]) -> list[PurePath]:
    """A name for each path's results that no other has: without its ending, with it, or with a number."""
    stems = Counter(path.with_suffix("") for path in paths)
    wholes = Counter(paths)
    counted: Counter[PurePath] = Counter()
    targets = []
    for path in paths:
        if stems[path.with_suffix("")] == 1:
            targets.append(path.with_suffix(""))
        elif wholes[path] == 1:
            targets.append(path)
        else:
            counted[path] += 1
            targets.append(path.with_name(f"{path.name}-{counted[path]}"))
    return targets


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """Where results go."""

    #: None: standard output.
    folder: Path | None
    #: In the order in which they were asked for.
    forms: tuple[str, ...]

    def files(self, document: Document) -> dict[str, Path]:
        """The file of each form; none for standard output."""
        if self.folder is None:
            return {}
        place = self.folder / document.target
        return {form: place.with_name(f"{place.name}.{form}") for form in self.forms}


def store(stream: BinaryIO, path: Path) -> Path:
    """Write the stream to the file. Raises `CommandError` for an empty one."""
    with path.open("wb") as file:
        shutil.copyfileobj(stream, file)
    if path.stat().st_size == 0:
        raise CommandError(BAD_INPUT, "standard input is empty. Give a PDF or image.")
    return path
