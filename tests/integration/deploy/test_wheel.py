"""The wheel, built and used outside the checkout."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests import ROOT

# Without a network the build cannot fetch its backend; CI builds in isolation (.github/workflows/ci.yml).
pytest.importorskip("setuptools", reason="setuptools is not installed here")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the wheel's files. Built from a copy: a build leaves folders beside the code."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("services", "libs", "deploy"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(folder)], cwd=source, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    target = folder / "installed"
    zipfile.ZipFile(wheel).extractall(target)
    return target


def run(installed: Path, folder: Path, *command: str) -> str:
    """What Python prints, with the wheel's files before every other copy of the project."""
    environ = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run([sys.executable, *command], cwd=folder, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    metadata = "import importlib.metadata as m; [e] = m.entry_points(name='gnosis-ocr'); e.load()(['--help'])"
    assert run(installed, tmp_path, "-c", metadata).startswith("usage: gnosis-ocr")


def test_the_queues_and_the_web_page_are_found_from_any_folder(installed: Path, tmp_path: Path) -> None:
    show = (
        "from importlib.resources import files\n"
        "from libs.taskqueue.queue_settings import queue_path, read_queue_settings\n"
        "from services.web.config import WebConfig\n"
        "path = queue_path(WebConfig().queue_file)\n"
        "print(path, *read_queue_settings(path), (files('services.web') / 'static' / 'index.html').is_file())"
    )
    expected = f"{installed / 'deploy' / 'queue.yaml'} ocr-processing ocr-extraction True\n"
    assert run(installed, tmp_path, "-c", show) == expected
