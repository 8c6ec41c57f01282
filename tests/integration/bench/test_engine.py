"""The engine's bench, on the tiny model that a machine without a GPU gets."""

import json
import subprocess
import sys
from pathlib import Path

from tests import ROOT


def test_the_bench_runs_to_its_end_and_its_figures_hang_together(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.engine", "--tiny", "--json", str(tmp_path / "figures.json")]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=240)
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert "slots at once" in done.stdout
    assert done.stderr == ""
    assert [row["batch"] for row in figures["decode"]] == [1, 4]
    assert figures["fast"]["slot_occupancy"] == 1.0
    if figures["cuda"] is None:
        assert figures["agreement"] == {"share": 1.0, "shortfall": 0.0}
