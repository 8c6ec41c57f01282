"""The emulator of Cloud Tasks, compared with Google's documentation through the official client."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from google.api_core import exceptions as errors
from google.auth import jwt
from google.cloud import tasks_v2
from google.protobuf import field_mask_pb2

from libs.taskqueue.cloudsettings import CloudTasksSettings
from libs.taskqueue.cloudtasks import client_of
from libs.taskqueue.queue import OCR_QUEUE
from tests.contract.queues import EPOCH, SETTINGS, Target, TurnedClock, issuer
from tests.emulators.cloudtasks.emulator import PARENT, Emulator, emulator
from tests.emulators.cloudtasks.faults import Faults
from tests.emulators.cloudtasks.issuer import Issuer
from tests.waiting import until

OCR = f"{PARENT}/queues/{OCR_QUEUE}"
WEEK = 7 * 86400.0


@pytest.fixture
async def tasks(clock: TurnedClock, faults: Faults) -> AsyncIterator[Emulator]:
    async with emulator({OCR_QUEUE: SETTINGS}, clock=clock, faults=faults, issuer=issuer()) as tasks:
        yield tasks


@pytest.fixture
async def client(tasks: Emulator) -> AsyncIterator[tasks_v2.CloudTasksAsyncClient]:
    client = client_of(CloudTasksSettings(cloud_tasks_emulator_host=tasks.host))
    yield client
    await client.transport.close()


def task_for(target: Target, id: str = "", **more: Any) -> tasks_v2.Task:
    name = f"{OCR}/tasks/{id}" if id else ""
    return tasks_v2.Task(name=name, http_request=tasks_v2.HttpRequest(url=target.url, body=b"{}"), **more)


def push_names(target: Target) -> list[str | None]:
    return [target.header(number, "X-CloudTasks-TaskName") for number in range(len(target.pushes))]


async def idle(tasks: Emulator) -> None:
    await until(lambda: tasks.lane(OCR_QUEUE).in_flight() == 0)


# Queues.


async def test_a_queue_begins_with_the_documented_defaults(client: tasks_v2.CloudTasksAsyncClient) -> None:
    queue = await client.create_queue(parent=PARENT, queue=tasks_v2.Queue(name=f"{PARENT}/queues/new"))

    assert queue.state is tasks_v2.Queue.State.RUNNING
    assert queue.rate_limits.max_dispatches_per_second == 500
    assert (queue.rate_limits.max_burst_size, queue.rate_limits.max_concurrent_dispatches) == (100, 1000)
    assert (queue.retry_config.max_attempts, queue.retry_config.max_doublings) == (100, 16)
    assert queue.retry_config.max_retry_duration == timedelta(0)
    assert queue.retry_config.min_backoff == timedelta(seconds=0.1)
    assert queue.retry_config.max_backoff == timedelta(hours=1)
    assert await client.get_queue(name=queue.name) == queue


async def test_queues_are_listed_by_name_in_pages(client: tasks_v2.CloudTasksAsyncClient) -> None:
    for id in ("b", "a"):
        await client.create_queue(parent=PARENT, queue=tasks_v2.Queue(name=f"{PARENT}/queues/{id}"))

    pages = await client.list_queues(tasks_v2.ListQueuesRequest(parent=PARENT, page_size=2))
    assert [[queue.name.split("/")[-1] for queue in page.queues] async for page in pages.pages] == [
        ["a", "b"],
        [OCR_QUEUE],
    ]


async def test_an_update_changes_what_its_mask_names(client: tasks_v2.CloudTasksAsyncClient) -> None:
    asked = tasks_v2.Queue(name=OCR, rate_limits={"max_dispatches_per_second": 7}, retry_config={"max_attempts": 3})
    mask = field_mask_pb2.FieldMask(paths=["retry_config.max_attempts"])
    queue = await client.update_queue(queue=asked, update_mask=mask)

    assert queue.retry_config.max_attempts == 3
    assert queue.retry_config.max_backoff == timedelta(seconds=60)
    assert queue.rate_limits.max_dispatches_per_second == 100


async def test_a_queue_that_is_not_there_is_not_found(client: tasks_v2.CloudTasksAsyncClient, target: Target) -> None:
    absent = f"{PARENT}/queues/absent"
    with pytest.raises(errors.NotFound):
        await client.get_queue(name=absent)
    with pytest.raises(errors.NotFound):
        await client.create_task(parent=absent, task=task_for(target))
    with pytest.raises(errors.AlreadyExists):
        await client.create_queue(parent=PARENT, queue=tasks_v2.Queue(name=OCR))


async def test_a_deleted_queue_keeps_its_name_for_a_week(
    client: tasks_v2.CloudTasksAsyncClient, target: Target, clock: TurnedClock
) -> None:
    await client.create_task(parent=OCR, task=task_for(target, schedule_time=datetime.fromtimestamp(EPOCH + 9, UTC)))
    await client.delete_queue(name=OCR)
    clock.turn_to(WEEK - 1)
    with pytest.raises(errors.FailedPrecondition):
        await client.create_queue(parent=PARENT, queue=tasks_v2.Queue(name=OCR))
    clock.turn_to(WEEK)
    await client.create_queue(parent=PARENT, queue=tasks_v2.Queue(name=OCR))
    assert target.pushes == []


async def test_a_paused_queue_takes_tasks_and_delivers_them_once_resumed(
    client: tasks_v2.CloudTasksAsyncClient, tasks: Emulator, target: Target
) -> None:
    await client.pause_queue(name=OCR)
    await client.create_task(parent=OCR, task=task_for(target, "first"))
    assert (await client.get_queue(name=OCR)).state is tasks_v2.Queue.State.PAUSED
    assert (tasks.lane(OCR_QUEUE).in_flight(), target.pushes) == (0, [])
    await client.resume_queue(name=OCR)
    await target.received(1)


async def test_a_purge_drops_every_task_and_the_names_stay_taken(
    client: tasks_v2.CloudTasksAsyncClient, target: Target
) -> None:
    await client.pause_queue(name=OCR)
    await client.create_task(parent=OCR, task=task_for(target, "first"))
    queue = await client.purge_queue(name=OCR)
    await client.resume_queue(name=OCR)

    assert queue.purge_time == datetime.fromtimestamp(EPOCH, UTC)
    assert [task async for task in await client.list_tasks(parent=OCR)] == []
    with pytest.raises(errors.AlreadyExists):
        await client.create_task(parent=OCR, task=task_for(target, "first"))


# Tasks.


async def test_a_task_without_a_name_gets_one_and_its_target_as_audience(
    client: tasks_v2.CloudTasksAsyncClient, tasks: Emulator, target: Target
) -> None:
    asked = task_for(target)
    asked.http_request.oidc_token = tasks_v2.OidcToken(service_account_email="pusher@emulated.example")
    task = await client.create_task(parent=OCR, task=asked)
    await target.received(1)

    assert push_names(target) == [task.name.split("/")[-1]]
    token = (target.header(0, "Authorization") or "").removeprefix("Bearer ")
    assert jwt.decode(token, verify=False)["aud"] == target.url


async def test_a_deleted_task_is_not_delivered_and_keeps_its_name_for_an_hour(
    client: tasks_v2.CloudTasksAsyncClient, target: Target, clock: TurnedClock
) -> None:
    later = task_for(target, "first", schedule_time=datetime.fromtimestamp(EPOCH + 9, UTC))
    await client.create_task(parent=OCR, task=later)
    await client.delete_task(name=later.name)
    clock.turn_to(3599.0)
    with pytest.raises(errors.AlreadyExists):
        await client.create_task(parent=OCR, task=later)
    with pytest.raises(errors.NotFound):
        await client.delete_task(name=later.name)
    assert target.pushes == []
    clock.turn_to(3600.0)
    await client.create_task(parent=OCR, task=later)
    await target.received(1)


async def test_a_task_that_is_run_by_hand_waits_for_no_limit(
    client: tasks_v2.CloudTasksAsyncClient, tasks: Emulator, target: Target, clock: TurnedClock
) -> None:
    await client.pause_queue(name=OCR)
    later = task_for(target, "first", schedule_time=datetime.fromtimestamp(EPOCH + 900, UTC))
    await client.create_task(parent=OCR, task=later)
    target.answers = [500]
    await client.run_task(name=later.name)
    await target.received(1)
    await idle(tasks)
    assert (await client.get_task(name=later.name)).schedule_time == datetime.fromtimestamp(EPOCH + 1, UTC)

    await client.run_task(name=later.name)
    await target.received(2)
    await idle(tasks)
    with pytest.raises(errors.NotFound):
        await client.run_task(name=later.name)


async def test_a_task_tells_its_attempts_and_its_body_only_when_asked(
    client: tasks_v2.CloudTasksAsyncClient, tasks: Emulator, target: Target
) -> None:
    target.answers = [500]
    await client.create_task(parent=OCR, task=task_for(target, "first"))
    await target.received(1)
    await idle(tasks)
    name = f"{OCR}/tasks/first"
    task = await client.get_task(name=name)

    assert (task.dispatch_count, task.response_count) == (1, 1)
    assert task.create_time == task.first_attempt.dispatch_time == datetime.fromtimestamp(EPOCH, UTC)
    assert task.last_attempt.response_status.message == "answer 500"
    assert task.http_request.body == b""
    full = await client.get_task(tasks_v2.GetTaskRequest(name=name, response_view=tasks_v2.Task.View.FULL))
    assert full.http_request.body == b"{}"


async def test_tasks_are_listed_in_pages(client: tasks_v2.CloudTasksAsyncClient, target: Target) -> None:
    await client.pause_queue(name=OCR)
    for id in ("c", "a", "b"):
        await client.create_task(parent=OCR, task=task_for(target, id))

    pages = await client.list_tasks(tasks_v2.ListTasksRequest(parent=OCR, page_size=2))
    assert [[task.name[-1] for task in page.tasks] async for page in pages.pages] == [["a", "b"], ["c"]]


async def test_a_task_may_set_headers_but_not_those_of_the_service(
    client: tasks_v2.CloudTasksAsyncClient, target: Target
) -> None:
    task = task_for(target, "first")
    task.http_request.headers = {
        "X-Own": "kept",
        "x-cloudtasks-taskretrycount": "99",
        "X-Google-Anything": "no",
        "X-AppEngine-Anything": "no",
        "User-Agent": "me",
        "host": "elsewhere.example",
    }
    await client.create_task(parent=OCR, task=task)
    await target.received(1)

    headers = target.pushes[0][1]
    assert headers["x-own"] == "kept"
    assert headers["x-cloudtasks-taskretrycount"] == "0"
    assert headers["user-agent"] == "Google-Cloud-Tasks"
    assert headers["host"] == target.url.split("/")[2]
    assert "content-type" not in headers
    assert not [name for name in headers if name.startswith(("x-google", "x-appengine"))]


async def test_at_its_deadline_a_call_goes_on_unheard_beside_the_next(
    client: tasks_v2.CloudTasksAsyncClient, tasks: Emulator, target: Target, clock: TurnedClock
) -> None:
    target.answers = [None]
    await client.create_task(parent=OCR, task=task_for(target, "slow", dispatch_deadline=timedelta(seconds=15)))
    await target.received(1)
    clock.turn_to(15.0)
    await idle(tasks)
    assert target.open == 1
    await until(lambda: clock.next_alarm() == 16.0)
    clock.turn_to(16.0)
    await target.received(2)
    assert (target.most_open, target.hung_up) == (2, 0)


async def test_an_address_that_leads_nowhere_is_tried_again(
    client: tasks_v2.CloudTasksAsyncClient, tasks: Emulator, clock: TurnedClock
) -> None:
    for id, url in {"refused": "http://127.0.0.1:9", "malformed": "http://[::"}.items():
        await client.create_task(
            parent=OCR, task=tasks_v2.Task({"name": f"{OCR}/tasks/{id}", "http_request": {"url": url}})
        )
    await until(lambda: [entry.due for entry in tasks.lane(OCR_QUEUE).entries.values()] == [1.0, 1.0])


LIMITS: dict[str, tuple[dict[str, Any], str]] = {
    "ftp": ({"http_request": {"url": "ftp://a"}}, "InvalidArgument"),
    "long-url": ({"http_request": {"url": "http://" + "a" * 2077}}, "InvalidArgument"),
    "get-body": ({"http_request": {"url": "http://a", "http_method": 2, "body": b"1"}}, "InvalidArgument"),
    "headers": ({"http_request": {"url": "http://a", "headers": {"a": "b" * 81920}}}, "InvalidArgument"),
    "size": ({"http_request": {"url": "http://a", "body": bytes(1 << 20)}}, "InvalidArgument"),
    "no-email": ({"http_request": {"url": "http://a", "oidc_token": {"audience": "a"}}}, "InvalidArgument"),
    "short": ({"dispatch_deadline": timedelta(seconds=14.9)}, "InvalidArgument"),
    "long": ({"dispatch_deadline": timedelta(minutes=30, seconds=1)}, "InvalidArgument"),
    "far": ({"schedule_time": datetime.fromtimestamp(EPOCH + 30 * 86400 + 1, UTC)}, "InvalidArgument"),
    "name": ({"name": f"{OCR}/tasks/a.b"}, "InvalidArgument"),
    "long-name": ({"name": f"{OCR}/tasks/{'a' * 501}"}, "InvalidArgument"),
    "other-queue": ({"name": f"{PARENT}/queues/other/tasks/a"}, "InvalidArgument"),
    "oauth": ({"http_request": {"url": "http://a", "oauth_token": {"scope": "s"}}}, "MethodNotImplemented"),
    "app-engine": ({"http_request": None, "app_engine_http_request": {}}, "MethodNotImplemented"),
    "retry": ({"retry_config": {"max_attempts": 1}}, "MethodNotImplemented"),
}


@pytest.mark.parametrize("case", LIMITS)
async def test_a_task_beyond_the_limits_is_refused(client: tasks_v2.CloudTasksAsyncClient, case: str) -> None:
    changes, error = LIMITS[case]
    task = tasks_v2.Task({"http_request": {"url": "http://a"}} | changes)
    with pytest.raises(getattr(errors, error)):
        await client.create_task(parent=OCR, task=task)


async def test_a_task_at_the_limits_is_taken(client: tasks_v2.CloudTasksAsyncClient) -> None:
    await client.pause_queue(name=OCR)
    task = tasks_v2.Task(
        name=f"{OCR}/tasks/{'a' * 500}",
        http_request={"url": "http://" + "a" * 2076},
        dispatch_deadline=timedelta(seconds=15),
        schedule_time=datetime.fromtimestamp(EPOCH + 30 * 86400, UTC),
    )
    await client.create_task(parent=OCR, task=task)


@pytest.mark.parametrize(
    "settings",
    [
        {"rate_limits": {"max_dispatches_per_second": 501}},
        {"rate_limits": {"max_concurrent_dispatches": 5001}},
        {"retry_config": {"max_attempts": -2}},
        {"retry_config": {"min_backoff": timedelta(seconds=9), "max_backoff": timedelta(seconds=8)}},
        {"name": f"{PARENT}/queues/a_b"},
    ],
    ids=["rate", "concurrent", "attempts", "backoff", "name"],
)
async def test_a_queue_beyond_the_limits_is_refused(
    client: tasks_v2.CloudTasksAsyncClient, settings: dict[str, Any]
) -> None:
    with pytest.raises(errors.InvalidArgument):
        await client.create_queue(parent=PARENT, queue=tasks_v2.Queue({"name": f"{PARENT}/queues/new"} | settings))


async def test_what_is_not_emulated_says_so(client: tasks_v2.CloudTasksAsyncClient) -> None:
    with pytest.raises(errors.MethodNotImplemented):
        await client.get_iam_policy({"resource": OCR})


# Faults.


@pytest.mark.parametrize("faults", [Faults(doubled=1.0)], ids=["doubled"])
async def test_a_doubled_delivery_comes_twice_for_one_task(
    client: tasks_v2.CloudTasksAsyncClient, tasks: Emulator, target: Target
) -> None:
    await client.create_task(parent=OCR, task=task_for(target, "first"))
    await target.received(2)
    await idle(tasks)

    assert push_names(target) == ["first", "first"]
    assert [target.header(number, "X-CloudTasks-TaskRetryCount") for number in (0, 1)] == ["0", "0"]
    assert tasks.lane(OCR_QUEUE).entries == {}


@pytest.mark.parametrize("faults", [Faults(unheard=1.0)], ids=["unheard"])
async def test_a_success_that_is_not_heard_brings_the_task_again(
    client: tasks_v2.CloudTasksAsyncClient, tasks: Emulator, target: Target, clock: TurnedClock
) -> None:
    await client.create_task(parent=OCR, task=task_for(target, "first"))
    await target.received(1)
    await until(lambda: clock.next_alarm() == 1.0)
    clock.turn_to(1.0)
    await target.received(2)

    assert push_names(target) == ["first", "first"]
    assert target.header(1, "X-CloudTasks-TaskRetryReason") == "the answer was lost"


@pytest.mark.parametrize("faults", [Faults(late_seconds=60.0, seed=4)], ids=["late"])
async def test_deliveries_that_are_late_change_places(
    client: tasks_v2.CloudTasksAsyncClient, target: Target, clock: TurnedClock
) -> None:
    ids = ["a", "b", "c", "d"]
    for id in ids:
        await client.create_task(parent=OCR, task=task_for(target, id))
    while len(target.pushes) < len(ids):
        await until(lambda: clock.now() < clock.next_alarm() < float("inf") or len(target.pushes) == len(ids))
        clock.turn_to(min(clock.next_alarm(), 60.0))
        await asyncio.sleep(0.01)

    assert sorted(str(name) for name in push_names(target)) == ids
    assert push_names(target) != ids


async def outcomes(client: tasks_v2.CloudTasksAsyncClient, target: Target, ids: range) -> tuple[list[bool], int]:
    """Whether each of many tasks was refused; how many the queue holds."""
    refused = []
    for id in ids:
        try:
            await client.create_task(parent=OCR, task=task_for(target, f"task-{id}"), retry=None)
            refused.append(False)
        except errors.ServiceUnavailable:
            refused.append(True)
    return refused, len(refused) - sum(refused)


async def test_outages_come_by_rate_and_the_same_seed_brings_the_same(target: Target) -> None:
    seen = []
    for _ in range(2):
        faults = Faults(seed=7, unavailable=0.3, answer_lost=0.3)
        async with emulator({OCR_QUEUE: SETTINGS}, clock=TurnedClock(), faults=faults, issuer=issuer()) as tasks:
            tasks.lane(OCR_QUEUE).change(paused=True)
            client = client_of(CloudTasksSettings(cloud_tasks_emulator_host=tasks.host))
            refused, taken = await outcomes(client, target, range(60))
            await client.transport.close()
            held = len(tasks.lane(OCR_QUEUE).entries)
        assert 20 <= sum(refused) <= 45
        assert taken < held < 60, "of the answers that were lost, the tasks were taken"
        seen.append(refused)
    assert seen[0] == seen[1]


async def test_a_port_has_one_emulator(tasks: Emulator) -> None:
    with pytest.raises(RuntimeError, match="bind"):
        async with emulator(port=int(tasks.host.split(":")[1]), issuer=issuer()):
            pass


# Tokens.


async def test_the_published_key_verifies_a_token_and_no_other_key_does() -> None:
    async with Issuer() as own, httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(own.jwks_url)
        token = own.token(email="a@b", audience="c", now=EPOCH)
    assert answer.headers["Content-Type"] == "application/json"
    [key] = answer.json()["keys"]
    assert (key["kty"], key["alg"], key["use"]) == ("RSA", "RS256", "sig")
    assert json.loads(unpadded(token.split(".")[0])) == {"alg": "RS256", "typ": "JWT", "kid": key["kid"]}

    verify(token, key)
    with pytest.raises(InvalidSignature):
        verify(token, issuer().jwks()["keys"][0])


def verify(token: str, key: dict[str, str]) -> None:
    e, n = (int.from_bytes(unpadded(key[part])) for part in "en")
    signed, _, signature = token.rpartition(".")
    rsa.RSAPublicNumbers(e, n).public_key().verify(
        unpadded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256()
    )


def unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
