"""Where events are written."""

import subprocess
import sys
from pathlib import Path

from tests import ROOT

PROGRAM = """
import os, sys
from pathlib import Path
from libs import eventlog

os.umask(0o022)
eventlog.configure(level="INFO", service="web", log_file=Path(sys.argv[1]))
"""


def test_the_log_and_the_folders_made_for_it_are_for_this_user_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    log = tmp_path / "storage" / "logs" / "gnosis-ocr.log"
    program = f"{PROGRAM}import logging; logging.getLogger().info('begun')"
    subprocess.run([sys.executable, "-c", program, str(log)], cwd=ROOT, check=True, capture_output=True)
    made = [tmp_path / "storage", *(tmp_path / "storage").rglob("*")]
    assert log in made
    assert {path.name for path in made if path.stat().st_mode & 0o077} == set()
    assert tmp_path.stat().st_mode & 0o777 == 0o755
