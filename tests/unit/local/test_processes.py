"""How the services are started."""

import sys
from pathlib import Path

import pytest

from services.local.processes import module, private_environment


def test_services_look_for_modules_in_the_working_directory_only_where_the_command_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["/usr/local/bin", *sys.path])
    assert module("services.web", "x") == (sys.executable, "-P", "-m", "services.web", "x")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert module("services.web") == (sys.executable, "-m", "services.web")


def test_a_private_service_shares_nothing_with_another_and_asks_for_no_proof(tmp_path: Path) -> None:
    given = {
        "PATH": "/bin",
        "OCR_ENGINE": "tesseract",
        "API_KEYS": "true",
        "QUEUE_URL": "http://x",
        "STORAGE_PATH": "s",
    }
    found = private_environment(given, web_port=1, worker_port=2, storage=tmp_path)
    assert {name: found[name] for name in ("PATH", "OCR_ENGINE", "WEB_PORT", "WORKER_PORT", "STORAGE_PATH")} == {
        "PATH": "/bin",
        "OCR_ENGINE": "tesseract",
        "WEB_PORT": "1",
        "WORKER_PORT": "2",
        "STORAGE_PATH": str(tmp_path),
    }
    assert not found.keys() & {"API_KEYS", "QUEUE_URL"}
