"""What holds for every test: its markers, and that it is skipped where this machine cannot run it."""

import importlib.util
import os
import time
from asyncio import base_events
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import ROOT
from tests.required import missing

# Programs that tests start find the client as the tests do (`pythonpath` in pyproject.toml), installed or not.
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, (str(ROOT / "clients" / "python"), os.environ.get("PYTHONPATH", "")))
)

# The packages of the extra `gpu`, and what these bring.
MODEL_PACKAGES = {"accelerate", "huggingface_hub", "safetensors", "tokenizers", "torch", "transformers"}


class ModuleOfTests(pytest.Module):
    """A module of tests, which is skipped as a whole where a package of the extra `gpu` is missing."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        try:
            return super().collect()
        except self.CollectError as error:
            cause = error.__cause__
            if isinstance(cause, ModuleNotFoundError) and (cause.name or "").partition(".")[0] in MODEL_PACKAGES:
                missing(f"{cause.name} is not installed: make dev-gpu")
            raise


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module:
    return ModuleOfTests.from_parent(parent, path=module_path)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Processes for `-n auto`: two more than cores, since integration tests wait for others much of the time."""
    return (os.cpu_count() or 1) + 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by its folder."""
    for item in items:
        folder = item.path.relative_to(ROOT / "tests").parts[0]
        item.add_marker(folder if folder in ("unit", "contract") else "integration")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not _has_gpu():
        pytest.skip("needs an NVIDIA GPU")


@pytest.fixture
def let_time_pass(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Puts the clock of event loops forward by seconds: timeouts and pauses that end within them end now.

    A test of a timeout sets one that is longer than any machine needs to get there, and then calls this.
    """
    passed = 0.0

    def pass_on(seconds: float) -> None:
        nonlocal passed
        passed += seconds
        moved = {**vars(time), "monotonic": lambda: time.monotonic() + passed}
        monkeypatch.setattr(base_events, "time", SimpleNamespace(**moved))

    return pass_on


def _has_gpu() -> bool:
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()
