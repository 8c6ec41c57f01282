"""What the tests of rendering share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.documents import WriteFile
from tests.leftovers import nothing_left


@pytest.fixture
async def nothing_is_left_behind() -> AsyncIterator[None]:
    """No child, not even a zombie, and no descriptor."""
    async with nothing_left():
        yield


@pytest.fixture
def write(tmp_path: Path) -> WriteFile:
    """Writes a file of this name and content."""

    def write_file(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write_file
