"""The folder of a local store as a tree of objects, listed in path order."""

import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from libs.storage import disk
from libs.storage.errors import NotFound
from libs.storage.store import Stat


class Tree:
    """Plain files below `root` are objects. The calls block."""

    def __init__(self, root: Path, *, hidden: Collection[str]) -> None:
        """`hidden` are the names of the store's own folders, directly below `root`."""
        self._root = root
        self._hidden = hidden

    def scan(self, folder: str, prefix: str) -> list[Stat | str]:
        """What in `folder` can begin with `prefix`, in path order: objects, and folders to go into."""
        found: dict[str, Stat | str] = {}
        base = f"{folder}/" if folder else ""
        for entry in self._entries(folder):
            path = base + entry.name
            if entry.is_dir(follow_symlinks=False):
                below = f"{path}/"
                if below.startswith(prefix) or prefix.startswith(below):
                    found[below] = path
            elif path.startswith(prefix):
                # An entry may be removed between the scan and the stat, and only a plain file is an object.
                with suppress(FileNotFoundError, NotFound):
                    found[path] = disk.stat_of(path, entry.stat(follow_symlinks=False))
        return [found[key] for key in sorted(found)]

    def folders(self, prefix: str) -> list[str]:
        """The names of the folders directly below `prefix` that hold an object, in order."""
        folder = prefix.removesuffix("/")
        names = [entry.name for entry in self._entries(folder) if entry.is_dir(follow_symlinks=False)]
        return sorted((name for name in names if self._holds_object(prefix + name)), key=lambda n: f"{n}/")

    def _holds_object(self, folder: str) -> bool:
        """Whether any object is below. A folder that was just made for a write, or left empty, is no object."""
        below = []
        for entry in self._entries(folder):
            if entry.is_file(follow_symlinks=False):
                return True
            if entry.is_dir(follow_symlinks=False):
                below.append(f"{folder}/{entry.name}")
        return any(self._holds_object(name) for name in below)

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with disk.translated(folder):
                disk.check_folders(self._root, f"{folder}/")
                with os.scandir(self._root / folder) as entries:
                    found = list(entries)
        except NotFound:
            return []
        if folder:
            return found
        return [entry for entry in found if entry.name not in self._hidden]
