"""The wheel, built and used outside the checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pymupdf
import pytest

from tests import ROOT

# Without a network the build cannot fetch its backend; CI builds in isolation (.github/workflows/ci.yml).
pytest.importorskip("setuptools", reason="setuptools is not installed here")


def build(source: Path, target: Path) -> Path:
    """The wheel of this project, built into the folder."""
    target.mkdir()
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(target)], cwd=source, check=True, capture_output=True)
    (wheel,) = target.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project: a build leaves folders beside the code."""
    source = tmp_path_factory.mktemp("source")
    for name in ("services", "libs", "deploy", "clients"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    return source


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the whole."""
    return build(source, tmp_path_factory.mktemp("wheel") / "dist")


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """The folder of the wheel's files."""
    target = wheel.parent / "installed"
    zipfile.ZipFile(wheel).extractall(target)
    return target


def run(installed: Path, folder: Path, *command: str) -> str:
    """What Python prints, with the wheel's files before every other copy of the project."""
    environ = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run([sys.executable, *command], cwd=folder, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def install(wheel: Path, environment: Path) -> None:
    """Install the wheel, and nothing else, into a new environment."""
    venv.create(environment, with_pip=False)
    program = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python")]
    subprocess.run([*program, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)


def test_the_command_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    metadata = "import importlib.metadata as m; [e] = m.entry_points(name='gnosis-ocr'); e.load()(['--help'])"
    assert run(installed, tmp_path, "-c", metadata).startswith("Usage: gnosis-ocr")


def test_the_wheel_without_its_extras_says_what_to_install(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    install(wheel, environment)
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [environment / "bin" / "gnosis-ocr", "read", "a.pdf"], env=environ, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.endswith("is missing. Install the extra: pip install 'gnosis-ocr[local]'.")


def test_the_queues_and_the_web_page_are_found_from_any_folder(installed: Path, tmp_path: Path) -> None:
    show = (
        "from importlib.resources import files\n"
        "from libs.taskqueue.queue_settings import queue_path, read_queue_settings\n"
        "from services.web.config import WebConfig\n"
        "path = queue_path(WebConfig().queue_file)\n"
        "print(path, *read_queue_settings(path), (files('services.web') / 'static' / 'index.html').is_file())"
    )
    expected = f"{installed / 'deploy' / 'queue.yaml'} ocr-processing ocr-extraction ocr-webhooks True\n"
    assert run(installed, tmp_path, "-c", show) == expected


@pytest.mark.slow
def test_the_installed_wheel_prints_the_first_page_of_a_scan_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    environment, folder = tmp_path / "venv", tmp_path / "empty"
    install(wheel, environment)
    # What the wheel needs is found where these tests run. An editable installation of the project there stays unknown,
    # as the .pth files of a folder that a .pth file names are not read.
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    folder.mkdir()
    scan(folder / "scan.pdf", "Harbour and walnut")

    environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "GNOSIS_URL")}
    done = subprocess.run(
        [environment / "bin" / "gnosis-ocr", "read", "scan.pdf"],
        cwd=folder,
        env={**environ, "GNOSIS_STATE": str(tmp_path / "state"), "OCR_ENGINE": "auto"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("<!-- page 1 -->\n")
    assert "Harbour and walnut" in done.stdout
    assert [path.name for path in folder.iterdir()] == ["scan.pdf"]


def scan(path: Path, text: str) -> None:
    """A PDF whose page is a picture."""
    with pymupdf.open() as drawn, pymupdf.open() as scanned:
        page = drawn.new_page()
        page.insert_text((72, 120), text, fontsize=28)
        scanned.new_page().insert_image(page.rect, pixmap=page.get_pixmap(dpi=150))
        scanned.save(path)


def test_the_client_by_itself_is_a_wheel_without_the_services(source: Path, tmp_path: Path) -> None:
    names = zipfile.ZipFile(build(source / "clients" / "python", tmp_path / "dist")).namelist()
    packages = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert packages == {"gnosis_ocr"}
    assert {"gnosis_ocr/py.typed", "gnosis_ocr/client.py"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
