"""The engine's bench, on the tiny model that a machine without a GPU gets."""

import json
import platform
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from tests import ROOT

pytestmark = pytest.mark.slow

BENCH = [sys.executable, "-m", "bench.engine", "--tiny", "--json"]
PARTS = [
    "bandwidth",
    "matrix_rate",
    "model",
    "decoder",
    "decode",
    "page",
    "agreement",
    "fast",
    "naive",
    "batched",
    "served",
    "load_seconds",
    "peak_bytes",
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "figures.json"


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.stderr == ""
    return done


def states(figures: dict[str, Any]) -> dict[str, str]:
    return {name: part["state"] for name, part in figures["parts"].items()}


def test_the_bench_runs_to_its_end_and_its_figures_hang_together(file: Path) -> None:
    done = run([*BENCH, str(file)])
    assert done.returncode == 0, done.stdout
    assert "slots at once" in done.stdout
    figures = json.loads(file.read_text())
    assert states(figures) == dict.fromkeys(PARTS, "done")
    assert figures["device"]
    assert figures["versions"] == {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "transformers": transformers.__version__,
    }
    of = {name: part["figure"] for name, part in figures["parts"].items()}
    assert of["decoder"]["slots"] == 4
    assert [row["batch"] for row in of["decode"]] == [1, 4]
    assert of["fast"]["slot_occupancy"] == 1.0
    assert of["naive"]["slots_are_times"] == pytest.approx(
        of["fast"]["pages_per_second"] / of["naive"]["pages_per_second"]
    )
    if not torch.cuda.is_available():
        assert of["agreement"] == {"share": 1.0, "shortfall": 0.0}
        assert (of["decoder"]["kernel"], of["decoder"]["graphs"], of["decoder"]["fallback"]) == ("sdpa", 0, None)


def test_a_bench_that_is_killed_leaves_what_it_had(file: Path) -> None:
    with subprocess.Popen([*BENCH, str(file)], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            # Seconds before its end.
            if line.startswith("model "):
                break
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    figures = json.loads(file.read_text())
    found = states(figures)
    assert list(found) == PARTS[: len(found)]
    *ended, last = found.values()
    assert set(ended) == {"done"}
    assert last in ("done", "running")
    assert figures["parts"]["bandwidth"]["figure"] > 0
    assert figures["parts"]["model"]["figure"]["parameters"] > 0


def test_where_no_decoder_can_be_made_the_rest_is_measured(file: Path) -> None:
    done = run([*BENCH, str(file), "--slots", str(10**9)])
    assert done.returncode == 1, done.stdout
    figures = json.loads(file.read_text())
    lost = dict.fromkeys(("decode", "page", "agreement", "fast", "served"), "skipped") | {"decoder": "failed"}
    assert states(figures) == dict.fromkeys(PARTS, "done") | lost
    error = figures["parts"]["decoder"]["error"]
    assert error["type"] == "EngineUnavailable"
    assert "Lower OCR_SLOTS" in error["message"]
    assert "memory.plan" in error["trace"]
    assert figures["parts"]["naive"]["figure"]["slots_are_times"] is None
    assert "FAILED: decoder: EngineUnavailable" in done.stdout


# Where torch and transformers are, the bench needs msgspec and structlog of the project's packages, and no others.
BARE = """
import runpy, sys
sys.argv = ["bench.engine", "--tiny", "--seconds", "0", "--json", sys.argv[1]]
try:
    runpy.run_module("bench.engine", run_name="__main__", alter_sys=True)
finally:
    services = {
        "concurrent_log_handler", "google.cloud", "hypercorn", "isal", "jwt", "prometheus_client", "python_multipart",
        "pymupdf", "rapidocr", "starlette",
    }
    print("imported:", *sorted(services & set(sys.modules)))
"""


def test_without_time_all_is_skipped_and_the_services_packages_are_not_imported(file: Path) -> None:
    done = run([sys.executable, "-c", BARE, str(file)])
    assert done.returncode == 0, done.stdout
    figures = json.loads(file.read_text())
    assert states(figures) == dict.fromkeys(PARTS, "skipped")
    assert figures["parts"]["bandwidth"]["why"] == "needs 0 s, 0 s left"
    assert "skipped: naive: needs model" in done.stdout
    assert done.stdout.splitlines()[-1] == "imported:"
