"""A whole installation in cloud mode on one machine: two emulators, web, workers, a scheduler that calls for sweeps."""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import grpc
import yaml
from google.api_core.exceptions import NotFound
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from libs.internal_token import HEADER
from tests import ROOT
from tests.emulators.cloudtasks.emulator import LOCATION, PROJECT
from tests.emulators.gcs.faults import Fault
from tests.emulators.gcs.server import Emulator
from tests.running import Running, free_port
from tests.scripted import Script

BUCKET = "gnosis-ocr-storage"
STATE_BUCKET = "gnosis-ocr-state"
OPERATOR = "the-token-of-the-operator-of-the-tests"
ACCOUNT = "pusher@emulated.example"
USER = "reader@example.org"


class CloudTasks:
    """The emulator as a process, on one port; it may be killed and started again, and then it has forgotten all."""

    def __init__(self, folder: Path, *rates: str) -> None:
        self.host = f"127.0.0.1:{free_port()}"
        self.keys_url = ""
        self.log = folder / "cloudtasks.log"
        self._rates = rates
        queues = yaml.safe_load((ROOT / "deploy" / "queue.yaml").read_text())
        for queue in queues["queues"].values():
            queue["rateLimits"]["maxConcurrentDispatches"] = 4
            queue["retryConfig"] |= {"minBackoff": "1s", "maxBackoff": "2s"}
        self.queue_file = folder / "queue.yaml"
        self.queue_file.write_text(yaml.safe_dump(queues))

    def start(self) -> None:
        """Serve, with keys of its own."""
        orders = [self.host.split(":")[1], "--queue-file", str(self.queue_file), *self._rates]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.emulators.cloudtasks", *orders],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        told = [self._process.stdout.readline().decode() for _ in range(3)]
        assert told[0] == f"CLOUD_TASKS_EMULATOR_HOST={self.host}\n", self.log.read_text()
        self.keys_url = told[2].removeprefix("keys of its tokens: ").strip()

    def kill(self) -> None:
        """Every task is lost."""
        self._process.kill()
        self._process.communicate()


class Scheduler:
    """Calls for a sweep again and again, signed in as the queue: what Cloud Scheduler does once a minute.

    It does so by tasks of the emulator, which signs them: on a queue of its own that delivers one at a time and tries
    none again, so that sweeps neither pile up nor slow the services' queues.
    """

    def __init__(self, host: str, url: str, *, every_seconds: float, token: Callable[[], str] = str) -> None:
        """`token` returns the services' own, where it is configured; without one none is sent."""
        self._host = host
        self._url = url
        self._token = token
        self._every = every_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._call, daemon=True)

    def start(self) -> None:
        """Begin to call."""
        self._thread.start()

    def stop(self) -> None:
        """Call no more."""
        self._over.set()
        self._thread.join()

    def _call(self) -> None:
        place = f"projects/{PROJECT}/locations/{LOCATION}"
        queue = tasks_v2.Queue(
            name=f"{place}/queues/sweep",
            rate_limits=tasks_v2.RateLimits(max_dispatches_per_second=10, max_concurrent_dispatches=1),
            retry_config=tasks_v2.RetryConfig(max_attempts=1),
        )
        with grpc.insecure_channel(self._host) as channel:
            client = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
            while not self._over.wait(self._every):
                with contextlib.suppress(Exception):  # the emulator is down, or refuses on purpose: later then
                    try:
                        client.create_task(parent=queue.name, task=self._task(), timeout=2.0)
                    except NotFound:
                        client.create_queue(parent=place, queue=queue, timeout=2.0)

    def _task(self) -> tasks_v2.Task:
        token = self._token()
        return tasks_v2.Task(
            http_request=tasks_v2.HttpRequest(
                url=f"{self._url}/internal/sweep",
                http_method=tasks_v2.HttpMethod.POST,
                headers={HEADER: token} if token else {},
                oidc_token=tasks_v2.OidcToken(service_account_email=ACCOUNT, audience=self._url),
            )
        )


class Cloud(Running):
    """`Running` in cloud mode. Its client has an API key, since a bare e-mail address proves nothing here."""

    def __init__(
        self, folder: Path, *, script: Script, bucket: Emulator, tasks: CloudTasks, lease_seconds: int
    ) -> None:
        super().__init__(folder, script=script, environ={}, package="tests.cloudmode")
        self.bucket = bucket
        self.tasks = tasks
        self.environ |= {
            "RUNNING_IN_CLOUD": "True",
            "REQUESTS_PER_MINUTE_PER_USER": "0",  # tests ask far more often than people
            "STORAGE_EMULATOR_HOST": bucket.url,
            "GCS_BUCKET_NAME": BUCKET,
            "STATE_BUCKET_NAME": STATE_BUCKET,
            "OPERATOR_TOKEN": OPERATOR,
            "CLOUD_TASKS_EMULATOR_HOST": tasks.host,
            "EMULATED_KEYS_URL": tasks.keys_url,
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "TASKS_LOCATION": LOCATION,
            "TASKS_SERVICE_ACCOUNT": ACCOUNT,
            "QUEUE_FILE": str(tasks.queue_file),
            "WORKER_URL": f"http://127.0.0.1:{self.worker_port}",
            "EXTRACT_URL": self.url,
            "API_KEYS": "true",
            "JOB_PARALLELISM": "2",
            "LEASE_SECONDS": str(lease_seconds),
        }

    def first_token(self) -> str:
        """The value of the services' token that they send; empty where none is configured."""
        return self.environ.get("INTERNAL_TOKEN", "").split(",")[0]

    def sign_in(self) -> None:
        """Make a key as an operator does, and use it from now on."""
        made = subprocess.run(
            [sys.executable, "-m", "services.web.auth.cli", "create", "--email", USER],
            cwd=ROOT,
            env=self.environ,
            capture_output=True,
            text=True,
            check=True,
        )
        key = next(word for word in made.stdout.split() if word.startswith("gnosis_"))
        self.client.headers["Authorization"] = f"Bearer {key}"


@contextlib.contextmanager
def cloud(
    folder: Path,
    *rates: str,
    script: Script | None = None,
    lease_seconds: int = 30,
    weather: Mapping[Fault, float] | None = None,
    **environ: str,
) -> Iterator[Cloud]:
    """The installation, ready, until the block ends. `rates` are the queue's faults, `weather` the bucket's."""
    tasks = CloudTasks(folder, *rates)
    tasks.start()
    with contextlib.ExitStack() as stack:
        stack.callback(tasks.kill)
        bucket = stack.enter_context(Emulator())
        bucket.make_bucket(BUCKET, paced=True)
        bucket.make_bucket(STATE_BUCKET, paced=True)
        services = Cloud(folder, script=script or Script(), bucket=bucket, tasks=tasks, lease_seconds=lease_seconds)
        stack.callback(services.stop)
        services.environ |= environ
        services.sign_in()
        bucket.faults.set(weather or {})
        services.start("web")
        services.start("worker")
        services.wait_ready()
        scheduler = Scheduler(tasks.host, services.url, every_seconds=1.0, token=services.first_token)
        scheduler.start()
        stack.callback(scheduler.stop)
        yield services
