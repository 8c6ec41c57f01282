"""Which store the settings choose, and that local mode needs no package of the cloud."""

import subprocess
import sys
from pathlib import Path

import pytest

from libs.config import ConfigError, read
from libs.storage.backend import open_store
from libs.storage.gcs import GcsStore
from libs.storage.local import LocalStore
from services.web.config import WebConfig
from services.worker.config import WorkerConfig


async def test_a_directory_is_the_store_unless_the_cloud_is_asked_for(tmp_path: Path) -> None:
    async with open_store(in_cloud=False, folder=tmp_path / "storage", bucket="unused") as store:
        assert isinstance(store, LocalStore)


@pytest.mark.parametrize("kind", [WebConfig, WorkerConfig])
@pytest.mark.parametrize("text", ["true", "TRUE", "True"])
async def test_the_bucket_is_the_store_in_the_cloud_whatever_the_letter_case(
    kind: type[WebConfig] | type[WorkerConfig], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    config = read(kind, {"RUNNING_IN_CLOUD": text})
    assert config.gcs_bucket_name == "gnosis-ocr-storage"
    folder = tmp_path / "storage"
    async with open_store(in_cloud=config.running_in_cloud, folder=folder, bucket=config.gcs_bucket_name) as store:
        assert isinstance(store, GcsStore)
    assert not folder.exists()


async def test_missing_credentials_are_said_to_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(ConfigError, match="gcloud auth application-default login"):
        async with open_store(in_cloud=True, folder=tmp_path, bucket="b"):
            raise AssertionError("there are no credentials")


def test_running_locally_imports_nothing_of_google() -> None:
    check = (
        "import services.web.app, services.worker.app, sys; "
        "print([name for name in sys.modules if name.startswith(('google.cloud', 'google.auth', 'requests'))])"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
