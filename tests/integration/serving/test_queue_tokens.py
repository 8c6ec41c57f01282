"""The services admit what the queue pushes: tokens of the emulator of Cloud Tasks, its keys fetched over a socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import msgspec
import pytest
from starlette.datastructures import Headers

from libs.idtoken.token import GOOGLE
from libs.internal_token import HEADER, InternalToken
from libs.taskqueue.cloudsettings import CloudTasksSettings
from libs.taskqueue.cloudtasks import open_cloud_tasks
from libs.taskqueue.queue import OCR_QUEUE
from services.serving.problem import Problem
from services.serving.queue_identity import QueueAccount, queue_account
from tests.contract.queues import SETTINGS, TASK, Target, TurnedClock
from tests.emulators.cloudtasks.emulator import LOCATION, PROJECT, emulator
from tests.emulators.cloudtasks.issuer import Issuer

ACCOUNT = "pusher@emulated.example"
WORKER = "https://worker.example"
SECRET = "a-secret-that-both-services-are-given"


@asynccontextmanager
async def pushed(google: Issuer, *, strips_signatures: bool = False) -> AsyncIterator[Headers]:
    """The headers of a push, as they come to the worker."""
    queues = {OCR_QUEUE: SETTINGS}
    async with (
        Target(TurnedClock()) as target,
        emulator(queues, issuer=google, strips_signatures=strips_signatures) as tasks,
    ):
        settings = CloudTasksSettings(
            google_cloud_project=PROJECT,
            tasks_location=LOCATION,
            tasks_service_account=ACCOUNT,
            worker_url=target.url,
            worker_audience=WORKER,
            cloud_tasks_emulator_host=tasks.host,
        )
        async with open_cloud_tasks(settings, queues, headers=lambda: {HEADER: SECRET}) as queue:
            await queue.enqueue(OCR_QUEUE, TASK, name="first")
            await target.received(1)
        yield Headers(target.pushes[0][1])


def worker(
    google: Issuer,
    client: httpx.AsyncClient,
    *,
    account: str = ACCOUNT,
    audience: str = WORKER,
    secret: str = SECRET,
    on_cloud_run: bool = False,
) -> QueueAccount:
    """The worker's own check, but for where Google's keys are."""
    return queue_account(
        account=account,
        audience=audience,
        token=InternalToken(secret),
        on_cloud_run=on_cloud_run,
        client=client,
        google=msgspec.structs.replace(GOOGLE, keys_url=google.jwks_url),
    )


async def test_a_push_of_the_queue_is_admitted_and_one_for_another_service_or_of_another_account_is_not() -> None:
    async with Issuer() as google, httpx.AsyncClient(trust_env=False) as client, pushed(google) as headers:
        await worker(google, client).admit(headers)
        for changed in (
            worker(google, client, audience="https://web.example"),
            worker(google, client, account="other@emulated.example"),
        ):
            with pytest.raises(Problem, match="Unauthorized"):
                await changed.admit(headers)


async def test_a_push_signed_by_another_issuer_is_not_admitted() -> None:
    async with (
        Issuer() as google,
        Issuer() as other,
        httpx.AsyncClient(trust_env=False) as client,
        pushed(other) as headers,
    ):
        with pytest.raises(Problem, match="Unauthorized"):
            await worker(google, client).admit(headers)


async def test_a_push_without_its_signature_is_admitted_on_cloud_run_alone_and_with_the_secret_alone() -> None:
    async with (
        Issuer() as google,
        httpx.AsyncClient(trust_env=False) as client,
        pushed(google, strips_signatures=True) as headers,
    ):
        await worker(google, client, on_cloud_run=True).admit(headers)
        for changed in (worker(google, client), worker(google, client, on_cloud_run=True, secret="another")):
            with pytest.raises(Problem, match="Unauthorized"):
                await changed.admit(headers)
