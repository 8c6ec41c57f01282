"""The installed gcloud takes our flags. Offline: it parses them, and then finds no log-in."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.queues import command
from libs.taskqueue.queue import OCR_QUEUE
from libs.taskqueue.queue_settings import SHIPPED_QUEUE_FILE, read_queue_settings

pytestmark = pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")

PARSED, REFUSED = 1, 2


def answer(arguments: list[str], folder: Path) -> tuple[int, str]:
    """Exit code and words of gcloud without any account: an empty configuration, and no metadata server to ask."""
    no_account = {"CLOUDSDK_CONFIG": str(folder), "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false"}
    logins = ("CLOUDSDK_ACTIVE", "CLOUDSDK_AUTH", "CLOUDSDK_CONFIG", "CLOUDSDK_CORE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(logins)}
    ended = subprocess.run(
        arguments, env={**kept, **no_account}, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return ended.returncode, ended.stderr


@pytest.mark.parametrize("verb", ["create", "update"])
def test_gcloud_takes_the_flags_of_our_queues(verb: str, tmp_path: Path) -> None:
    place = ["--location=europe-west1", "--project=some-project"]
    flags = command(verb, OCR_QUEUE, read_queue_settings(SHIPPED_QUEUE_FILE)[OCR_QUEUE], place=place, log_ratio=1.0)
    code, words = answer(flags, tmp_path)
    assert code == PARSED, words
    assert "active account" in words


def test_gcloud_refuses_a_flag_that_is_not_there(tmp_path: Path) -> None:
    code, words = answer(["gcloud", "tasks", "queues", "create", "q", "--max-tries=1"], tmp_path)
    assert code == REFUSED, words
    assert "--max-tries" in words
