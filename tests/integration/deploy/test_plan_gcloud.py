"""The whole plan against the installed gcloud, offline: its parser takes every command, its schema every manifest."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import manifest
from deploy.command import Word
from deploy.plan import STAGES, plan
from deploy.settings import DeploySettings
from libs.config import read

GIVEN = {"PROJECT": "acme-ocr-1", "PROJECT_NUMBER": "123456789012", "SERVICE": "web", "REVISION": "gnosis-ocr-web-1"}
SMALL = GIVEN | {"DELETE_DATA": "yes"}
LARGE = GIVEN | {
    "IDENTITY": "iap",
    "IAP_MEMBERS": "domain:example.com",
    "WORKER_DEVICE": "gpu",
    "TORCH_INDEX_URL": "https://wheels.example/cu126",
    "RETENTION_DAYS": "90",
    "MODEL_SOURCE": "mount",
}

pytestmark = pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")


def faults(lines: list[list[str]], manifests: list[str], folder: Path) -> list[str]:
    """The faults that gcloud finds. `folder` is its configuration, without a log-in."""
    root = Path(shutil.which("gcloud") or "").resolve().parents[1]
    bundled = root / "platform" / "bundledpythonunix" / "bin" / "python3"
    ended = subprocess.run(
        [bundled if bundled.exists() else sys.executable, "-S", Path(__file__).with_name("ask_gcloud.py"), root],
        input=json.dumps({"lines": lines, "manifests": manifests}),
        env={"CLOUDSDK_CONFIG": str(folder), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found: list[str] = json.loads(ended.stdout)
    return found


@pytest.mark.slow
def test_gcloud_knows_every_command_and_flag_of_the_plan_and_every_field_of_the_manifests(tmp_path: Path) -> None:
    from_stdin = tmp_path / "manifest.yaml"
    from_stdin.write_text("kind: Service")

    def given(word: Word) -> str:
        text = word if isinstance(word, str) else f"{word.before}secret"
        return str(from_stdin) if text == "-" else text

    lines = [
        [given(word) for word in line[1:]]
        for environ in (SMALL, LARGE)
        for step in plan(list(STAGES), environ)
        for command in step.commands
        for line in command.lines()
        if line[0] == "gcloud"
    ]
    manifests = [
        made(read(DeploySettings, environ))
        for environ in (SMALL, LARGE)
        for made in (manifest.web, manifest.extract, manifest.worker)
    ]
    wrong_line = ["run", "services", "replace", str(from_stdin), "--set-env-vars=A=1"]
    wrong_manifest = manifests[0].replace("httpGet:", "httpAsk:", 1)

    found = faults([*lines, wrong_line], [*manifests, wrong_manifest], tmp_path)

    assert len(lines) > 100
    assert ["--set-env-vars" in found[0], "httpAsk" in found[1], len(found)] == [True, True, 2], found
