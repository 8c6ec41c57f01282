"""The disk under a round: a file system of its own that really turns full and read-only, or a switch that says so."""

import asyncio
import ctypes
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

from libs.storage.errors import OutOfSpace, Unavailable
from libs.storage.store import ObjectStore
from tests.chaos.around import AroundStore
from tests.chaos.folder import Folder

FULL, READ_ONLY = "full", "read-only"
MAY_MOUNT = "CHAOS_MAY_MOUNT"

_SIZE = b"size=256m"
_MS_RDONLY, _MS_REMOUNT, _MNT_DETACH = 1, 32, 2
_NAMESPACES = (("unshare", "--mount"), ("unshare", "--mount", "--map-root-user"))


def mount_namespace() -> tuple[str, ...]:
    """The command in front of which a program may mount what nobody else sees; empty where none is allowed."""
    for prefix in _NAMESPACES:
        try:
            tried = subprocess.run([*prefix, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True)
        except FileNotFoundError:
            return ()
        if tried.returncode == 0:
            return prefix
    return ()


class Disk:
    """The folder `folder.disk`, ready for the storage."""

    def __init__(self, folder: Folder, *, may_mount: bool) -> None:
        self._folder = folder
        self.real = may_mount
        self._libc = ctypes.CDLL(None, use_errno=True)
        folder.disk.mkdir()
        if self.real:
            self._mount(0, _SIZE)
        folder.storage.mkdir()
        folder.history.mkdir()
        # A log file is held open for writing, and then no file system may be turned read-only.
        (folder.storage / "logs").symlink_to(folder.logs)

    async def outage(self, kind: str, seconds: float) -> bool:
        """Be full or read-only for a while; false when the system would not have it."""
        if not self.real:
            self._folder.outage.write_text(kind)
            await asyncio.sleep(seconds)
            self._folder.outage.unlink()
            return True
        if kind == FULL:
            await self._full(seconds)
            return True
        if not await self._remount(_MS_RDONLY):
            return False
        await asyncio.sleep(seconds)
        return await self._remount(0)

    def keep(self) -> None:
        """Leave a copy that outlasts the file system."""
        if self.real:
            shutil.copytree(self._folder.disk, self._folder.root / "left", symlinks=True)

    def close(self) -> None:
        """Take the file system away."""
        if self.real:
            self._libc.umount2(os.fsencode(self._folder.disk), _MNT_DETACH)

    async def _full(self, seconds: float) -> None:
        ballast = self._folder.disk / "ballast"
        end = time.monotonic() + seconds
        with ballast.open("wb", buffering=0) as file:
            block = bytes(1 << 20)
            while time.monotonic() < end:
                try:
                    while file.write(block):
                        pass
                except OSError:  # full, and it fills again what a deletion frees
                    block = bytes(max(4096, len(block) // 4))
                    await asyncio.sleep(0.02)
        ballast.unlink()

    async def _remount(self, flag: int) -> bool:
        """Refused while any file is open for writing, so it takes a few attempts."""
        end = time.monotonic() + 5
        while time.monotonic() < end:
            if self._mount(_MS_REMOUNT | flag, None):
                return True
            await asyncio.sleep(0.003)
        return False

    def _mount(self, flags: int, data: bytes | None) -> bool:
        failed = self._libc.mount(b"none", os.fsencode(self._folder.disk), b"tmpfs", flags, data)
        if failed and not flags:
            raise OSError(ctypes.get_errno(), "mount")
        return not failed


class SwitchedStore(AroundStore):
    """Fails what `LocalStore` would fail on a full or a read-only disk, while the switch is there."""

    def __init__(self, inner: ObjectStore, switch: Path) -> None:
        super().__init__(inner)
        self._switch = switch

    async def write(self, path: str, data: bytes | AsyncIterator[bytes], *, if_generation: int | None = None) -> int:
        if kind := self._kind():
            raise OutOfSpace(path, kind) if kind == FULL else Unavailable(path, kind)
        return await self.inner.write(path, data, if_generation=if_generation)

    async def delete(self, path: str, *, if_generation: int | None = None) -> None:
        if self._kind() == READ_ONLY:
            raise Unavailable(path, READ_ONLY)
        await self.inner.delete(path, if_generation=if_generation)

    def _kind(self) -> str:
        try:
            return self._switch.read_text()
        except FileNotFoundError:
            return ""
