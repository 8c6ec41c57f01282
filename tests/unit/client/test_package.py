"""What the client promises as a package of its own."""

import ast
import inspect
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

from gnosis_ocr import AsyncClient, Client
from tests import ROOT

FOLDER = ROOT / "clients" / "python"
PROJECT: dict[str, Any] = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]
WHOLE: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def imported(module: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add((node.module or "").partition(".")[0])
    return names


def test_it_imports_the_standard_library_and_what_it_declares_and_nothing_of_the_service() -> None:
    declared = {re.split(r"[><=]", line)[0] for line in PROJECT["dependencies"]}
    modules = list((FOLDER / "gnosis_ocr").glob("*.py"))

    assert modules
    used = set().union(*(imported(module) for module in modules)) - sys.stdlib_module_names - {"gnosis_ocr"}
    assert used == declared


def test_its_version_licence_and_dependencies_are_those_of_the_whole() -> None:
    for key in ("version", "license", "requires-python"):
        assert PROJECT[key] == WHOLE[key]
    assert set(PROJECT["dependencies"]) <= set(WHOLE["dependencies"])
    assert (FOLDER / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_both_clients_have_the_same_methods_with_the_same_arguments() -> None:
    def methods(client: type) -> dict[str, list[inspect.Parameter]]:
        return {
            name: list(inspect.signature(value).parameters.values())
            for name, value in vars(client).items()
            if callable(value) and not name.startswith("_")
        }

    assert methods(Client) == methods(AsyncClient)
