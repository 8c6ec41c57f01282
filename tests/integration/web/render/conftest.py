"""What the tests of rendering share."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.documents import WriteFile


@pytest.fixture
def nothing_is_left_behind() -> Iterator[None]:
    """No child, not even a zombie, and no descriptor."""
    descriptors = psutil.Process().num_fds()
    yield
    assert psutil.Process().children(recursive=True) == []
    assert psutil.Process().num_fds() <= descriptors


@pytest.fixture
def write(tmp_path: Path) -> WriteFile:
    """Writes a file of this name and content."""

    def write_file(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write_file
