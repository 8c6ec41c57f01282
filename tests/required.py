"""What a test needs of the machine: a program, a package, a setting."""

import importlib.util
import os
from typing import NoReturn

import pytest


def missing(reason: str) -> NoReturn:
    """Skip the test, or the module that is being imported; in CI, where GNOSIS_REQUIRE_ALL is set, fail it.

    `reason` says what is missing and how to get it.
    """
    if os.environ.get("GNOSIS_REQUIRE_ALL"):
        pytest.fail(f"{reason} (GNOSIS_REQUIRE_ALL is set)", pytrace=False)
    pytest.skip(reason, allow_module_level=True)


def need_model_package(name: str) -> None:
    """Skip the test or module whose child process imports `name`, a package of the extra `gpu`, where it is missing."""
    if importlib.util.find_spec(name) is None:
        missing(f"{name} is not installed: make dev-gpu")


def need_package(name: str) -> None:
    """Skip the module that needs `name`, a package of the extra `dev`, where it is missing."""
    if importlib.util.find_spec(name) is None:
        missing(f"{name} is not installed: make dev")
