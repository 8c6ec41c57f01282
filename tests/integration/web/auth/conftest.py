"""The service in each of the ways in which users prove who they are."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from libs.idtoken.token import GOOGLE, IAP
from libs.internal_token import InternalToken
from services.serving.queue_identity import SharedSecret, queue_account
from services.web.auth.configured import configured_identity
from services.web.config import WebConfig
from tests.inprocess import in_process, outward_client
from tests.integration.web.auth.installation import (
    ACTIVE_JOBS,
    AUDIENCE,
    OPERATOR,
    OTHER,
    OWNER,
    QUEUE,
    SECRET,
    SERVICE,
    TEXT,
    TUS,
    TWIN,
    WAYS,
    Installation,
    claims,
    credential,
    ended_job,
)
from tests.issuer import Publisher, publishing
from tests.reachable import ReachableStore


@pytest.fixture(scope="module")
def publishers() -> Iterator[tuple[Publisher, Publisher]]:
    with publishing("ES256") as iap, publishing("RS256") as google:
        yield iap, google


@pytest.fixture(params=[pytest.param(way, marks=pytest.mark.slow if way in ("google", "iap") else ()) for way in WAYS])
async def installed(
    request: pytest.FixtureRequest, publishers: tuple[Publisher, Publisher]
) -> AsyncIterator[Callable[[], Any]]:
    """Makes installations in which users prove themselves in one of the ways. They share the keys they fetched."""
    way = request.param
    iap, google = publishers
    config = WebConfig(
        active_jobs_per_user=ACTIVE_JOBS,
        requests_per_minute_per_user=0,  # a quick machine asks more often than a user may
        operator_token=OPERATOR,
        running_in_cloud=way != "local",
        api_keys=way == "key",
        google_audience=AUDIENCE if way == "google" else "",
        iap_audience=AUDIENCE if way == "iap" else "",
    )
    async with outward_client() as outward:
        store = ReachableStore()
        identity = configured_identity(
            config, store=store, client=outward, iap=iap.issuer(IAP), google=google.issuer(GOOGLE)
        )
        account = queue_account(
            account=QUEUE,
            audience=SERVICE,
            token=InternalToken(SECRET),
            on_cloud_run=False,
            client=outward,
            google=google.issuer(GOOGLE),
        )
        client = in_process(
            config,
            store=store,
            direct=store,
            identity=identity,
            queue_identity=SharedSecret(InternalToken(SECRET)) if way == "local" else account,
            outward=outward,
        )
        credentials = {
            "nobody": {},
            "other": await credential(way, OTHER, store, publishers),
            "twin": await credential(way, TWIN, store, publishers),
            "owner": await credential(way, OWNER, store, publishers),
            "operator": {"Authorization": f"Bearer {OPERATOR}"},
            "queue": {"X-Internal-Token": SECRET}
            if way == "local"
            else {"Authorization": f"Bearer {google.sign(claims(GOOGLE.names[0], SERVICE, QUEUE))}"},
        }
        # As the installation itself shows it: without the ways that it does not take.
        document = (await client.get("/openapi.json")).json()

        async def install() -> Installation:
            """The same service with a new job."""
            for path in [stat.path async for stat in store.list("") if not stat.path.startswith("system/")]:
                await store.delete(path)
            files = await ended_job(store)
            begun = await client.post("/api/uploads", headers={**credentials["owner"], **TUS, "Upload-Length": "10"})
            order = {"filename": "a.pdf", "size": 10}
            direct = await client.post("/api/direct-uploads", headers=credentials["owner"], json=order)
            await store.arrive(direct.json()["upload_url"], b"%PDF-1.7 a")
            content = {"file": ("a.pdf", b"%PDF-1.7 " + TEXT.encode())}
            kept = await client.post("/v1/files", headers=credentials["owner"], files=content)
            return Installation(
                client=client,
                store=store,
                files=files,
                upload_id=begun.headers["Location"].rsplit("/", 1)[-1],
                direct_id=direct.json()["upload_id"],
                file_id=kept.json()["id"],
                credentials=credentials,
                document=document,
            )

        yield install
