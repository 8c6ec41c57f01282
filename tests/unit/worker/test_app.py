"""What the worker's app does before any route."""

import httpx
import pytest

from services.serving.metrics import new_registry
from services.worker.app import assemble
from services.worker.config import WorkerConfig


@pytest.mark.parametrize(
    ("host", "cloud", "local"),
    [
        ("localhost", True, True),
        ("127.0.0.1:7800", True, True),
        ("[::1]:7800", True, True),
        ("worker:7800", True, True),
        ("worker", True, True),
        ("named.example.org", True, True),
        ("evil.example.org:7800", True, False),
        ("worker.evil.example.org", True, False),
        ("http://worker", True, False),
        ("", True, False),
    ],
)
async def test_in_local_mode_the_worker_answers_only_under_its_own_names(host: str, cloud: bool, local: bool) -> None:
    for in_cloud, admitted in ((True, cloud), (False, local)):
        config = WorkerConfig(
            running_in_cloud=in_cloud, worker_url="http://worker:7800", allowed_hosts="named.example.org"
        )
        transport = httpx.ASGITransport(assemble(config, registry=new_registry()))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            answer = await client.get("/nowhere", headers={"Host": host})
        assert answer.status_code == (404 if admitted else 403)
        if not admitted:
            assert answer.json()["title"] == "Host refused"
