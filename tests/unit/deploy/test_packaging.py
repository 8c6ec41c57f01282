"""What the project's metadata promises of the wheel."""

import importlib
import tomllib
from pathlib import Path
from typing import Any

from tests import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
DATA: dict[str, list[str]] = PROJECT["tool"]["setuptools"]["package-data"]
# Where each package is; the others are folders of the root.
PLACES = {"gnosis_ocr": ROOT / "clients" / "python" / "gnosis_ocr"}
# For the images, which are built from a checkout.
NOT_FOR_THE_WHEEL = {"Dockerfile"}


def packaged() -> set[Path]:
    """The files that the globs of package data match."""
    return {
        file
        for package, globs in DATA.items()
        for glob in globs
        for file in PLACES.get(package, ROOT / package.replace(".", "/")).glob(glob)
    }


def test_the_command_is_a_function_that_takes_arguments() -> None:
    (target,) = PROJECT["project"]["scripts"].values()
    module, _, name = target.partition(":")
    assert callable(getattr(importlib.import_module(module), name))


def test_every_file_beside_the_code_is_in_the_wheel_and_the_type_markers_too() -> None:
    beside = {
        file
        for folder in (*(ROOT / package for package in ("services", "libs", "deploy")), *PLACES.values())
        for file in folder.rglob("*")
        if file.is_file() and file.suffix not in {".py", ".pyc"} and file.name not in NOT_FOR_THE_WHEEL
    }
    assert packaged() == beside
    marked = {PLACES["gnosis_ocr"] / "py.typed", ROOT / "services" / "py.typed", ROOT / "libs" / "py.typed"}
    assert {*marked, ROOT / "deploy" / "queue.yaml"} <= packaged()
