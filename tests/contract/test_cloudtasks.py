"""What only the queue of cloud mode does: the official client, unmodified, over gRPC against the emulator."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.api_core.exceptions import ServiceUnavailable
from google.auth import jwt
from google.cloud import tasks_v2

from libs.config import ConfigError, read
from libs.taskqueue.backend import open_cloud_queue
from libs.taskqueue.cloudsettings import CloudTasksSettings
from libs.taskqueue.cloudtasks import CloudTasksQueue, client_of, open_cloud_tasks
from libs.taskqueue.queue import EXTRACT_QUEUE, OCR_QUEUE, QueueUnavailable
from libs.taskqueue.task import OcrTask
from tests.contract.queues import EPOCH, SETTINGS, TASK, Emulated, Target, TurnedClock, cloudtasks, settled, tried
from tests.emulators.cloudtasks.emulator import PARENT
from tests.emulators.cloudtasks.faults import Faults, Outage
from tests.emulators.cloudtasks.issuer import ISSUER

OCR = f"{PARENT}/queues/{OCR_QUEUE}"
CLOUD = {
    "GOOGLE_CLOUD_PROJECT": "p",
    "TASKS_LOCATION": "europe-west1",
    "TASKS_SERVICE_ACCOUNT": "pusher@p.iam.gserviceaccount.com",
    "WORKER_URL": "https://worker.example/",
    "EXTRACT_URL": "https://web.example",
}


@pytest.fixture
async def cloud(target: Target, clock: TurnedClock, faults: Faults) -> AsyncIterator[Emulated]:
    async with cloudtasks(target, clock, faults, max_concurrent_dispatches=1) as cloud:
        yield cloud


async def test_a_push_carries_a_token_of_the_queues_identity_for_the_target(
    cloud: Emulated, target: Target, clock: TurnedClock
) -> None:
    await cloud.enqueue(OCR_QUEUE, TASK, name="first")
    await settled(cloud, clock)

    kind, token = (target.header(0, "Authorization") or "").split(" ")
    assert kind == "Bearer"
    header = jwt.decode_header(token)
    assert header["alg"] == "RS256"
    [key] = cloud.emulator.issuer.jwks()["keys"]
    assert header["kid"] == key["kid"]
    claims = jwt.decode(token, verify=False)
    assert claims["iss"] == ISSUER
    assert claims["aud"] == "https://worker.example"
    assert (claims["email"], claims["email_verified"]) == ("pusher@emulated.example", True)
    assert claims["iat"] <= EPOCH < claims["exp"]


async def test_the_audience_is_the_address_of_the_service_unless_a_setting_says_otherwise() -> None:
    targets = read(CloudTasksSettings, CLOUD).targets({OCR_QUEUE: SETTINGS, EXTRACT_QUEUE: SETTINGS})

    assert targets[OCR_QUEUE].queue == "projects/p/locations/europe-west1/queues/ocr-processing"
    assert targets[OCR_QUEUE].url == "https://worker.example/process-ocr-batch"
    assert targets[OCR_QUEUE].audience == "https://worker.example"
    assert targets[EXTRACT_QUEUE].queue == "projects/p/locations/europe-west1/queues/ocr-extraction"
    assert targets[EXTRACT_QUEUE].url == "https://web.example/internal/extract"
    assert targets[EXTRACT_QUEUE].audience == "https://web.example"

    changed = CLOUD | {
        "TASKS_OCR_QUEUE": "mine",
        "TASKS_EXTRACT_QUEUE": "too",
        "WORKER_AUDIENCE": "w",
        "EXTRACT_AUDIENCE": "e",
    }
    targets = read(CloudTasksSettings, changed).targets({OCR_QUEUE: SETTINGS, EXTRACT_QUEUE: SETTINGS})
    assert [target.audience for target in targets.values()] == ["w", "e"]
    assert [target.queue.split("/")[-1] for target in targets.values()] == ["mine", "too"]


@pytest.mark.parametrize("name", CLOUD)
def test_a_setting_that_is_missing_is_named(name: str) -> None:
    settings = read(CloudTasksSettings, CLOUD | {name: ""})
    with pytest.raises(ConfigError, match=f"^{name} is not set"):
        settings.targets({OCR_QUEUE: SETTINGS, EXTRACT_QUEUE: SETTINGS})


def test_the_worker_needs_no_address_for_extraction() -> None:
    read(CloudTasksSettings, CLOUD | {"EXTRACT_URL": ""}).targets({OCR_QUEUE: SETTINGS})


def test_a_token_is_not_sent_in_clear() -> None:
    settings = read(CloudTasksSettings, CLOUD | {"WORKER_URL": "http://worker.example"})
    with pytest.raises(ConfigError, match=r"^WORKER_URL='http://worker\.example': must begin with https://"):
        settings.targets({OCR_QUEUE: SETTINGS})


async def test_a_process_without_credentials_is_told_how_to_get_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
    with pytest.raises(ConfigError, match="application-default login"):
        async with open_cloud_tasks(read(CloudTasksSettings, CLOUD), {OCR_QUEUE: SETTINGS}):
            pass


async def test_a_task_has_the_deadline_of_its_queue_and_the_time_it_was_delayed_to(
    cloud: Emulated, clock: TurnedClock
) -> None:
    clock.turn_to(7.0)
    await cloud.enqueue(OCR_QUEUE, TASK, name="later", delay_seconds=2.5)

    task = cloud.emulator.lane(OCR_QUEUE).entries["later"].task
    assert task.dispatch_deadline == timedelta(seconds=600)
    assert task.schedule_time == datetime.fromtimestamp(EPOCH + 9.5, UTC)
    assert json.loads(task.http_request.body)["session_id"] == "session-1"


@pytest.mark.parametrize(
    "code",
    ["UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "INTERNAL", "UNKNOWN", "RESOURCE_EXHAUSTED"],
)
@pytest.mark.parametrize("after", [False, True], ids=["refused", "answer-lost"])
async def test_an_outage_that_passes_costs_time_and_nothing_else(
    cloud: Emulated, target: Target, clock: TurnedClock, faults: Faults, code: str, after: bool
) -> None:
    faults.outages = [Outage(code=grpc.StatusCode[code], after=after)] * 2
    cloud.emulator.lane(OCR_QUEUE).change(paused=True)  # so that only the client waits for the clock
    await tried(cloud, clock)
    cloud.emulator.lane(OCR_QUEUE).change(paused=False)
    await settled(cloud, clock)

    assert faults.outages == []
    assert len(target.pushes) == 1
    assert clock.now() == pytest.approx(0.2 + 0.4)


async def test_an_outage_that_stays_is_given_up_after_ten_seconds(
    cloud: Emulated, clock: TurnedClock, faults: Faults
) -> None:
    faults.outages = [Outage()] * 100
    with pytest.raises(QueueUnavailable, match="ServiceUnavailable"):
        await tried(cloud, clock)

    assert 8.0 <= clock.now() <= 10.0


async def test_a_service_that_cannot_be_reached_is_given_up(clock: TurnedClock) -> None:
    settings = CloudTasksSettings(cloud_tasks_emulator_host="127.0.0.1:9")
    client = client_of(settings)
    wanted = read(CloudTasksSettings, CLOUD).targets({OCR_QUEUE: SETTINGS})
    queue = CloudTasksQueue(client, wanted, service_account="a@b", clock=clock, jitter=lambda: 1.0)
    try:
        with pytest.raises(QueueUnavailable, match="ServiceUnavailable"):
            await tried(queue, clock)
        assert await queue.health(OCR_QUEUE) == "failed: ServiceUnavailable"
    finally:
        await client.transport.close()


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("NOT_FOUND", "create the queue"),
        ("PERMISSION_DENIED", "cloudtasks.enqueuer"),
        ("UNAUTHENTICATED", "credentials"),
        ("INVALID_ARGUMENT", "WORKER_URL"),
        ("FAILED_PRECONDITION", "status of Cloud Tasks"),
    ],
)
async def test_a_refusal_that_will_stay_is_not_tried_again_and_says_what_to_do(
    cloud: Emulated, clock: TurnedClock, faults: Faults, code: str, advice: str
) -> None:
    faults.outages = [Outage(code=grpc.StatusCode[code])]
    with pytest.raises(QueueUnavailable, match=advice):
        await cloud.enqueue(OCR_QUEUE, TASK, name="first")

    assert clock.now() == 0.0
    assert cloud.pending(OCR_QUEUE) == 0


async def test_a_task_that_is_too_large_is_refused_at_once(cloud: Emulated) -> None:
    huge = OcrTask(session_id="s", user_email="e" * (1 << 20))
    with pytest.raises(QueueUnavailable, match="InvalidArgument"):
        await cloud.enqueue(OCR_QUEUE, huge, name="huge")


async def test_a_queue_tells_whether_it_delivers(cloud: Emulated) -> None:
    assert (await cloud.queue.health(OCR_QUEUE), cloud.queue.counts(OCR_QUEUE)) == ("ok", None)
    client = client_of(CloudTasksSettings(cloud_tasks_emulator_host=cloud.emulator.host))
    await client.pause_queue(name=OCR)
    assert await cloud.queue.health(OCR_QUEUE) == "failed: paused"
    await client.delete_queue(name=OCR)
    assert await cloud.queue.health(OCR_QUEUE) == "failed: NotFound"
    await client.transport.close()


async def test_the_queue_that_the_services_open_delivers(target: Target, cloud: Emulated, clock: TurnedClock) -> None:
    settings = CloudTasksSettings(
        google_cloud_project="emulated",
        tasks_location="nowhere1",
        tasks_service_account="a@b",
        worker_url=target.url,
        cloud_tasks_emulator_host=cloud.emulator.host,
    )
    async with open_cloud_tasks(settings, {OCR_QUEUE: SETTINGS}) as queue:
        await queue.enqueue(OCR_QUEUE, TASK, name="first")
        await settled(cloud, clock)
        with pytest.raises(KeyError):
            await queue.enqueue(EXTRACT_QUEUE, TASK, name="first")

    assert target.header(0, "X-CloudTasks-TaskName") == "first"
    assert target.header(0, "X-Internal-Token") is None


async def test_a_machine_without_googles_packages_is_told_which_extra_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libs.taskqueue.cloudtasks", None)
    with pytest.raises(ConfigError, match=r"extra \[gcp\]"):
        async with open_cloud_queue(read(CloudTasksSettings, CLOUD), {OCR_QUEUE: SETTINGS}, headers=dict):
            pass


def test_a_process_in_local_mode_imports_nothing_of_google() -> None:
    code = (
        "import sys, services.web.__main__, services.worker.__main__\n"
        "sys.exit(', '.join(name for name in sys.modules if name.split('.')[0] in ('google', 'grpc')))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stderr.strip() == ""


async def test_the_client_as_it_comes_does_not_repeat_the_creation_of_a_task(cloud: Emulated, faults: Faults) -> None:
    """Why the queue retries by itself: once this fails, its retry can be removed."""
    client = client_of(CloudTasksSettings(cloud_tasks_emulator_host=cloud.emulator.host))
    faults.outages = [Outage(), None]
    with pytest.raises(ServiceUnavailable):
        await client.create_task(parent=OCR, task=tasks_v2.Task(http_request={"url": "http://127.0.0.1:9"}))
    await client.transport.close()

    assert faults.outages == [None]
