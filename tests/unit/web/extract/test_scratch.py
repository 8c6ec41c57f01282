"""Local copies of uploads are removed with their block, and those of killed processes at the next start."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from services.web.extract.scratch import PREFIX, clear_abandoned, scratch_folder


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_folder_is_gone_when_the_block_ends() -> None:
    with scratch_folder() as folder:
        (folder / "upload").write_bytes(b"a document")
        assert clear_abandoned() == 0, "its process lives"
    assert not folder.exists()


def test_what_a_killed_process_left_is_removed_and_nothing_else(temporary: Path) -> None:
    over = subprocess.Popen([sys.executable, "-c", ""])
    over.wait()
    left = temporary / f"{PREFIX}{over.pid}-abc"
    left.mkdir()
    (left / "upload").write_bytes(b"a document")
    others = [temporary / f"{PREFIX}{os.getppid()}-abc", temporary / "gnosis", temporary / f"{PREFIX}x-abc"]
    for other in others:
        other.mkdir()
    assert clear_abandoned() == 1
    assert sorted(temporary.iterdir()) == sorted(others)
