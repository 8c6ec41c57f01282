"""A few kills of the real services. Far more: `make chaos KILLS=1000`."""

import subprocess
import sys

import pytest

from tests import ROOT


@pytest.mark.skipif(sys.platform != "linux", reason="stopped and busy processes are known by /proc")
@pytest.mark.slow
@pytest.mark.parametrize(("mode", "kills"), [("local", 15), ("cloud", 5)], ids=["local", "cloud"])
def test_no_page_is_lost_or_read_again_when_the_services_are_killed_again_and_again(mode: str, kills: int) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--mode", mode, "--kills", f"{kills}", "--abreast", "1", "--quick"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-3000:]
    assert "| **lost pages** | **0** |" in run.stdout
    assert " 0 jobs," not in run.stdout, "nothing was put to the test"
