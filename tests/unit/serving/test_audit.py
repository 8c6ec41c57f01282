"""Which requests are audit events, and that an event has nothing in it that a caller could have put there."""

import re
from functools import partial
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from services.serving import audit
from services.serving.audit import Audited, Rule
from services.serving.problem import HANDLED, Problem, handle
from services.web.actions import ACTIONS
from services.web.app import ROUTES
from services.worker.app import ACTIONS as WORKER_ACTIONS
from services.worker.app import ROUTES as WORKER_ROUTES
from tests import ROOT
from tests.auditing import audit_events

JOB = "01931f0c2a7b4d1e8c90a1b2c3d4e5f6"
OWNER = "0123456789ab"
#: What anybody may have, so that neither having it nor being refused it is an event.
PUBLIC = {"/", "/health", "/ready", "/version", "/openapi.json", "/docs", "/schemas/page.json", "/general/docs"}


async def answer(request: Request) -> Response:
    status = int(request.query_params.get("status", "200"))
    if status >= 400:
        raise Problem(status, "Some reason", "Detail.", "Hint.", fault=request.query_params.get("fault", ""))
    return JSONResponse({}, status_code=status, headers={"Location": request.query_params.get("location", "/")})


RULES = {
    ("GET", "/read/{user_hash}/{session_id}/{filename}"): Rule("file.read"),
    ("GET", "/job/{job_id}/{n}"): Rule("page.read"),
    ("POST", "/make"): Rule("job.create"),
    ("GET", "/poll"): Rule("job.status", when_allowed=False),
}


async def events(method: str, address: str) -> list[dict[str, Any]]:
    # Each route has an endpoint of its own, as in the services.
    routes: list[BaseRoute] = [Route(path, partial(answer), methods=[verb]) for verb, path in RULES]
    app = Starlette(
        routes=[*routes, Route("/public", partial(answer))],
        middleware=[Middleware(Audited, routes=routes, rules=RULES)],
        exception_handlers=dict.fromkeys(HANDLED, handle),
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        with audit_events() as written:
            await client.request(method, address)
    return written


@pytest.mark.parametrize(
    ("method", "address", "outcomes"),
    [
        ("GET", f"/job/{JOB}/3", ["allowed"]),
        ("GET", f"/job/{JOB}/3?status=304", []),
        ("HEAD", f"/job/{JOB}/3", []),
        ("HEAD", f"/job/{JOB}/3?status=404", ["refused"]),
        ("GET", f"/job/{JOB}/3?status=401", ["refused"]),
        ("GET", f"/job/{JOB}/3?status=403", ["refused"]),
        ("GET", f"/job/{JOB}/3?status=429", ["refused"]),
        ("GET", f"/job/{JOB}/3?status=507", ["refused"]),
        ("GET", f"/job/{JOB}/3?status=409", []),
        ("GET", f"/job/{JOB}/3?status=503", []),
        ("POST", "/make?status=202", ["allowed"]),
        ("POST", "/make?status=413", ["refused"]),
        ("GET", "/poll", []),
        ("GET", "/poll?status=404", ["refused"]),
        ("GET", "/public", []),
        ("GET", "/public?status=404", []),
        ("GET", "/nowhere", []),
        ("PUT", "/make", []),
    ],
)
async def test_a_request_has_at_most_one_event(method: str, address: str, outcomes: list[str]) -> None:
    assert [event["outcome"] for event in await events(method, address)] == outcomes


async def test_an_event_names_its_object_and_its_reason() -> None:
    (event,) = await events("GET", f"/read/{OWNER}/{JOB}/page_001.png?status=403&fault=why")
    assert event == {
        "log": "audit",
        "schema": audit.SCHEMA,
        "action": "file.read",
        "outcome": "refused",
        "status": 403,
        "job_id": JOB,
        "owner_hash": OWNER,
        "file": "page_001.png",
        "reason": "some-reason",
        "fault": "why",
    }
    (event,) = await events("GET", f"/job/{JOB}/3")
    assert (event["job_id"], event["page_no"]) == (JOB, 3)
    (event,) = await events("POST", f"/make?status=202&location=/api/jobs/{JOB}")
    assert event["job_id"] == JOB
    (event,) = await events("POST", f"/make?status=201&location=/api/uploads/{JOB}")
    assert event["upload_id"] == JOB


@pytest.mark.parametrize(
    "address",
    [
        "/read/someone@example.org/someone@example.org/someone@example.org?status=404",
        "/job/someone@example.org/someone@example.org?status=404",
        f"/job/{JOB}/{'9' * 40}?status=404",
        f"/read/{OWNER}/{JOB}/page_001.png%0A%7B%22log%22:?status=404",
        f"/read/{OWNER}/{JOB}/My secret plan.pdf",
        "/make?status=202&location=/api/jobs/someone@example.org",
    ],
)
async def test_what_the_caller_wrote_is_not_in_the_event(address: str) -> None:
    (event,) = await events("POST" if address.startswith("/make") else "GET", address)
    text = " ".join(str(value) for value in event.values())
    assert not re.search(r"@|secret|99999|\n|\{", text), text
    assert event.get("file", "upload") == "upload"


@pytest.mark.parametrize(
    ("routes", "rules"), [(ROUTES, ACTIONS), (WORKER_ROUTES, WORKER_ACTIONS)], ids=["web", "worker"]
)
def test_of_every_route_it_is_decided_whether_it_is_an_event(routes: list[BaseRoute], rules: dict[Any, Rule]) -> None:
    served = {
        (method, route.path)
        for route in routes
        if isinstance(route, Route)
        for method in route.methods or ()
        if method != "OPTIONS"
    }
    undecided = {
        (method, path)
        for method, path in served - set(rules)
        if path not in PUBLIC | ({"/cache/info"} if rules is WORKER_ACTIONS else set())
        # HEAD is what GET is; POST stands for the methods that a header may name in its place.
        and not (method == "HEAD" and ("GET", path) in rules)
        and not (method == "POST" and ("PATCH", path) in rules)
    }
    assert undecided == set()
    assert set(rules) <= served


def test_every_action_is_in_the_documentation() -> None:
    text = (ROOT / "docs" / "operations.md").read_text().split("### Actions")[1].split("\n## ")[0]
    actions = {rule.action for rules in (ACTIONS, WORKER_ACTIONS) for rule in rules.values()}
    documented = {
        name for row in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE) for name in re.findall(r"`(.*?)`", row)
    }
    assert documented == actions | {"request", "job.expire", "key.create", "key.use", "key.revoke"}
