"""The bytes of an object: on disk once they are many, with their checksums."""

import base64
import hashlib
import tempfile
import threading
import weakref
from collections.abc import Iterator

import google_crc32c

MEMORY_BYTES = 1 << 18
CHUNK_BYTES = 1 << 18


class Content:
    """Bytes that are appended, then read any number of times."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES)  # noqa: SIM115 - lives as long as this
        # Before the collector's own finalizers, which may take the file of a cycle first and call it unclosed.
        weakref.finalize(self, self._file.close)
        self._turn = threading.Lock()
        self._crc32c = google_crc32c.Checksum()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.size = 0

    def append(self, data: bytes) -> None:
        """Add to the end."""
        with self._turn:
            self._file.seek(self.size)
            self._file.write(data)
        self._crc32c.update(data)
        self._md5.update(data)
        self.size += len(data)

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Bytes `start` to `stop`, in chunks."""
        offset, end = start, self.size if stop is None else min(stop, self.size)
        while offset < end:
            # Answers are read in threads, several of one object at once.
            with self._turn:
                self._file.seek(offset)
                chunk = self._file.read(min(CHUNK_BYTES, end - offset))
            offset += len(chunk)
            yield chunk

    @property
    def crc32c(self) -> str:
        """Base64 of the big-endian CRC-32C, as Cloud Storage writes it."""
        return base64.b64encode(self._crc32c.digest()).decode()

    @property
    def md5(self) -> str:
        """Base64 of the MD5."""
        return base64.b64encode(self._md5.digest()).decode()
