"""From `deploy/queue.yaml` to gcloud, with a gcloud that only notes what it is asked."""

import os
from pathlib import Path

import msgspec
import pytest

from deploy.queues import NotDeployable, command, main
from libs.taskqueue.settings import QueueSettings

SETTINGS = QueueSettings(
    max_dispatches_per_second=2.5,
    max_concurrent_dispatches=3,
    max_burst_size=1,
    max_attempts=None,
    max_retry_seconds=None,
    min_backoff_seconds=1.0,
    max_backoff_seconds=60.0,
    max_doublings=0,
    dispatch_deadline_seconds=600.0,
)

GCLOUD = """#!/bin/sh
echo "$@" >> "$GCLOUD_LOG"
test "$3" = describe && { grep -qx "$4" "$GCLOUD_QUEUES"; exit; }
exit "${GCLOUD_EXIT:-0}"
"""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A gcloud that knows the queues in `queues` and writes down each call."""
    (tmp_path / "gcloud").write_text(GCLOUD)
    (tmp_path / "gcloud").chmod(0o755)
    (tmp_path / "queues").write_text("ocr-processing\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("GCLOUD_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("GCLOUD_QUEUES", str(tmp_path / "queues"))
    return tmp_path / "log"


def test_every_setting_becomes_its_flag() -> None:
    assert command("create", "q", SETTINGS, place=["--location=here"], log_ratio=0.5) == [
        *("gcloud", "tasks", "queues", "create", "q", "--location=here"),
        "--max-attempts=-1",
        "--max-retry-duration=0s",
        "--min-backoff=1s",
        "--max-backoff=60s",
        "--max-doublings=0",
        "--max-dispatches-per-second=2.5",
        "--max-concurrent-dispatches=3",
        "--log-sampling-ratio=0.5",
    ]
    limited = msgspec.structs.replace(SETTINGS, max_attempts=7, max_retry_seconds=90.0)
    flags = command("update", "q", limited, place=[], log_ratio=1.0)
    assert {"--max-attempts=7", "--max-retry-duration=90s"} <= set(flags)


@pytest.mark.parametrize("field", ["max_retry_seconds", "min_backoff_seconds", "max_backoff_seconds"])
def test_a_duration_that_cloud_tasks_would_cut_is_refused(field: str) -> None:
    with pytest.raises(NotDeployable, match=r"is 1\.5s: Cloud Tasks counts whole seconds"):
        command("create", "q", msgspec.structs.replace(SETTINGS, **{field: 1.5}), place=[], log_ratio=1.0)


def test_a_queue_that_is_there_is_updated_and_the_other_created(asked: Path) -> None:
    assert main(["apply", "--location", "europe-west1", "--project", "p"]) == 0

    calls = [line.split() for line in asked.read_text().splitlines()]
    assert [call[2:6] for call in calls] == [
        ["describe", "ocr-processing", "--location=europe-west1", "--project=p"],
        ["update", "ocr-processing", "--location=europe-west1", "--project=p"],
        ["describe", "ocr-extraction", "--location=europe-west1", "--project=p"],
        ["create", "ocr-extraction", "--location=europe-west1", "--project=p"],
    ]


def test_the_first_failure_ends_the_work_with_its_exit_code(asked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCLOUD_EXIT", "3")
    assert main(["apply", "--location", "europe-west1"]) == 3
    assert "ocr-extraction" not in asked.read_text()


def test_a_plan_prints_both_commands_for_each_queue_and_runs_none(
    asked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "--location", "europe-west1", "--ocr-queue", "mine"]) == 0

    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("#")]
    assert [line.split()[3:5] for line in lines] == [
        ["create", "mine"],
        ["update", "mine"],
        ["create", "ocr-extraction"],
        ["update", "ocr-extraction"],
    ]
    assert not asked.exists()


def test_a_machine_without_gcloud_is_one_line_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["apply", "--location", "x"]) == 2
    assert capsys.readouterr().err.startswith("gnosis-ocr: gcloud is not installed")


def test_a_wrong_file_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--location", "x", "--queue-file", str(tmp_path / "none.yaml")]) == 2
    assert capsys.readouterr().err.startswith("gnosis-ocr: ")
