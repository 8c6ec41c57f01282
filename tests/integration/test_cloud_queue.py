"""Whole jobs through Cloud Tasks: the real services as processes, the emulator as a third that pushes to both."""

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from libs.storage.gcs import GcsStore
from services.web.auth import apikey, keyring
from services.web.auth.apikey import Scope
from tests.documents import pdf
from tests.emulators.cloudtasks.emulator import LOCATION, PROJECT
from tests.emulators.gcs.server import Emulator as Bucket
from tests.running import ROOT, Running, free_port
from tests.scripted import Script

PAGES = 12


class CloudTasks:
    """The emulator as a process, on one port; it may be killed and started again."""

    def __init__(self, folder: Path, *rates: str) -> None:
        self.host = f"127.0.0.1:{free_port()}"
        self.log = folder / "cloudtasks.log"
        self._rates = rates
        queues = yaml.safe_load((ROOT / "deploy" / "queue.yaml").read_text())
        for queue in queues["queues"].values():
            queue["rateLimits"]["maxConcurrentDispatches"] = 4
            queue["retryConfig"]["maxBackoff"] = "2s"
        self.queue_file = folder / "queue.yaml"
        self.queue_file.write_text(yaml.safe_dump(queues))

    def start(self) -> None:
        orders = [self.host.split(":")[1], "--queue-file", str(self.queue_file), *self._rates]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.emulators.cloudtasks", *orders],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode()
        assert line == f"CLOUD_TASKS_EMULATOR_HOST={self.host}\n", self.log.read_text()

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def cloud(
    folder: Path,
    *rates: str,
    seconds: float = 0.0,
    lease_seconds: int = 30,
    key: str = "",
    **environ: str,
) -> Iterator[tuple[Running, CloudTasks]]:
    """The services on Cloud Tasks. Pages take `seconds`; `key` is the client's API key."""
    tasks = CloudTasks(folder, *rates)
    services = Running(
        folder,
        script=Script(seconds=seconds),
        package="tests.cloudmode",
        headers={"Authorization": f"Bearer {key}"} if key else None,
        environ={
            "CLOUD_TASKS_EMULATOR_HOST": tasks.host,
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "TASKS_LOCATION": LOCATION,
            "TASKS_SERVICE_ACCOUNT": "pusher@emulated.example",
            "QUEUE_FILE": str(tasks.queue_file),
            "JOB_PARALLELISM": "2",
            "LEASE_SECONDS": str(lease_seconds),
            **environ,
        },
    )
    services.environ["WORKER_URL"] = f"http://127.0.0.1:{services.worker_port}"
    services.environ["EXTRACT_URL"] = services.url
    try:
        tasks.start()
        services.start("web")
        services.start("worker")
        services.wait_ready()
        yield services, tasks
    finally:
        services.stop()
        tasks.kill()


def all_pages_once(services: Running) -> bool:
    return services.read_counts() == dict.fromkeys(range(1, PAGES + 1), 1)


def test_a_job_goes_from_upload_to_its_end_through_cloud_tasks(tmp_path: Path) -> None:
    with cloud(tmp_path) as (services, _):
        job_id = services.upload(pdf(tmp_path / "document.pdf", PAGES))
        job = services.ended(job_id)
        assert services.get("/ready").json()["queue"] == {
            "ocr-processing": {"status": "ok"},
            "ocr-extraction": {"status": "ok"},
        }
        assert job["status"] == "completed"
        assert all_pages_once(services)


@pytest.mark.parametrize("seed", ["1"])
def test_a_job_survives_lost_answers_doubled_late_and_repeated_deliveries(tmp_path: Path, seed: str) -> None:
    rates = ["--unavailable", "0.2", "--answer-lost", "0.2", "--doubled", "0.5", "--unheard", "0.3"]
    with cloud(tmp_path, *rates, "--late-seconds", "0.5", "--seed", seed) as (services, _):
        job_id = services.upload(pdf(tmp_path / "document.pdf", PAGES))
        assert services.ended(job_id)["status"] == "completed"
        assert all_pages_once(services)


def test_a_job_survives_the_loss_of_every_task_and_of_the_worker(tmp_path: Path) -> None:
    with cloud(tmp_path, seconds=0.2, lease_seconds=2) as (services, tasks):
        job_id = services.upload(pdf(tmp_path / "document.pdf", PAGES))
        services.until(services.read_counts, "a page to be read")
        tasks.kill()
        services.kill("worker", signal.SIGKILL)
        tasks.start()
        services.start("worker")
        assert services.ended(job_id)["status"] == "completed"
        assert set(services.read_counts()) == set(range(1, PAGES + 1))


async def api_key(bucket: str) -> str:
    """A key of the kind that `make key` makes, in the bucket."""
    store = GcsStore(bucket)
    key, text = apikey.issue(email="reader@example.org", scopes=tuple(Scope), at=await store.now(), days=1)
    await keyring.save_new(store, key)
    store.close()
    return text


def test_a_job_goes_through_bucket_queue_and_proofs_as_on_cloud_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Bucket() as emulated:
        emulated.make_bucket("jobs")
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulated.url)
        in_cloud = {
            "RUNNING_IN_CLOUD": "true",
            "K_SERVICE": "gnosis",
            "API_KEYS": "true",
            "GCS_BUCKET_NAME": "jobs",
            "INTERNAL_TOKEN": "a-secret-that-both-services-are-given",
        }
        key = asyncio.run(api_key("jobs"))
        with cloud(tmp_path, "--strip-signatures", key=key, **in_cloud) as (services, _):
            job_id = services.upload(pdf(tmp_path / "document.pdf", PAGES))
            assert services.ended(job_id)["status"] == "completed"
            assert all_pages_once(services)
            assert services.get(f"/api/jobs/{job_id}/status", Authorization="").status_code == 401
            assert not list(services.storage.glob("users/**")), "nothing of a job is kept on the machine"
