"""Every route by every method for everybody: what each may do follows from `/openapi.json` and from who owns the job.

A route that joins the document joins the matrix. What it needs beside its address is told in BODIES. The routes of the
front doors, which the document leaves out, are in `foreign`.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx

from libs.storage import layout
from services.web.app import ROUTES
from services.web.frontdoors.doors import DOORS
from tests.auditing import audit_events
from tests.integration.web.auth.foreign import FOREIGN, Cell
from tests.integration.web.auth.installation import (
    ACTIVE_JOBS,
    OPERATOR,
    OTHER,
    OWNER,
    QUEUE,
    SECRET,
    TEXT,
    TUS,
    TWIN,
    Installation,
)

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
ASKERS = ("nobody", "other", "twin", "owner", "queue", "operator")

#: What shows a document's content.
READS = (
    "/api/jobs/{job_id}/pages/{n}",
    "/api/jobs/{job_id}/pages/{n}/image",
    "/api/jobs/{job_id}/result",
    "/storage/{user_hash}/{session_id}/{filename}",
    "/v1/files/{file_id}/content",
    "/v1/result/{job_id}",
    "/documentintelligence/documentModels/{model}/analyzeResults/{job_id}",
    "/documentintelligence/documentModels/{model}/analyzeResults/{job_id}/pdf",
    "/tasks/{job_id}/result",
)

TASK = {"session_id": "0" * 32, "user_email": ""}
PIECE = {**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/api/uploads"): {"headers": {**TUS, "Upload-Length": "10"}},
    ("HEAD", "/api/uploads/{upload_id}"): {"headers": TUS},
    ("PATCH", "/api/uploads/{upload_id}"): {"headers": PIECE, "content": b"%PDF-1.7 a"},
    ("DELETE", "/api/uploads/{upload_id}"): {"headers": TUS},
    ("POST", "/api/uploads/{upload_id}"): {"headers": {**TUS, "X-HTTP-Method-Override": "DELETE"}},
    ("POST", "/api/direct-uploads"): {"json": {"filename": "a.pdf", "size": 10}},
    ("POST", "/upload"): {"files": {"file": ("a.pdf", b"%PDF-1.7 a")}},
    ("POST", "/internal/extract"): {"json": TASK},
    ("POST", "/internal/webhooks"): {"json": TASK},
    ("POST", "/internal/queues/{queue}/tasks"): {"json": {"name": "n", "task": TASK}},
}


def described(document: dict[str, Any], template: str, method: str) -> dict[str, Any] | None:
    """The operation; HEAD is answered wherever GET is."""
    item = document["paths"].get(template, {})
    found: dict[str, Any] | None = item.get(method.lower(), item.get("get") if method == "HEAD" else None)
    return found


def expected(document: dict[str, Any], template: str, method: str, asker: str) -> set[int]:
    """The statuses that the cell may have."""
    operation = described(document, template, method)
    if operation is None:
        return {405}
    answers = {int(status) for status in operation["responses"]}
    security = operation.get("security", document["security"])
    if not security:
        # A probe tells the truth also where that is 503; here there is no worker.
        return answers - {401, 403}
    if {"operator": []} in security:
        may = asker == "operator" or {} in security
        return answers - {401, 403} if may else {401}
    # The operator's token proves no user: it is refused even where a request without any credential is not.
    if asker == "operator" or ({} not in security and asker in ("nobody", "queue")):
        return {401}
    if template == "/cache/info":  # no worker runs here
        return answers - {401, 403}
    if asker != "owner":
        if "{job_id}" in template or "{upload_id}" in template:
            return {404}
        if "{user_hash}" in template:
            return {404} if asker == "twin" else {403}
    return {status for status in answers if status < 300}


def secrets(installation: Installation) -> tuple[str, ...]:
    return (TEXT, installation.files.session_id, installation.upload_id, installation.direct_id, installation.file_id)


def audited(document: dict[str, Any], template: str, method: str, answer: httpx.Response) -> str:
    """The outcome of the one event that the cell has to write; empty where it is neither read, deletion nor refusal."""
    operation = described(document, template, method)
    is_public = (operation is None or operation.get("security") == []) and foreign(template, method) is None
    if answer.status_code in (401, 403, 404) and not is_public:
        return "refused"
    is_read = method == "GET" and template in READS and answer.status_code == 200
    # POST: with a header that says DELETE.
    is_deletion = (method in ("DELETE", "POST") and answer.status_code == 204) or (
        method == "DELETE" and answer.status_code == 200
    )
    return "allowed" if is_read or is_deletion else ""


async def cell(installation: Installation, template: str, method: str, asker: str) -> httpx.Response:
    row = foreign(template, method)
    body = dict(BODIES.get((method, template), {}) if row is None else row.body)
    headers = {**body.pop("headers", {}), **installation.credentials[asker]}
    return await installation.client.request(method, installation.address(template), headers=headers, **body)


def misaudited(
    installation: Installation,
    written: list[dict[str, Any]],
    template: str,
    method: str,
    asker: str,
    answer: httpx.Response,
) -> list[str]:
    """What is wrong with the audit events of the cell."""
    where = f"{asker}: {method} {template} ({answer.status_code})"
    events = [event for event in written if event["action"] != "key.use"]
    wanted = audited(installation.document, template, method, answer)
    found = [event["outcome"] for event in events]
    wrong = [] if found == [wanted] or (not wanted and "refused" not in found) else [f"{where} has the events {found}"]
    for event in events:
        who = {"owner": OWNER, "twin": TWIN, "other": OTHER}.get(asker)
        if who and answer.status_code != 401 and event.get("user_hash") != layout.user_hash(who):
            wrong.append(f"{where} was done by {event.get('user_hash')}")
        if answer.status_code < 300 and "_id}" in template and not {"job_id", "upload_id", "file_id"} & event.keys():
            wrong.append(f"{where} was done to nothing")
    credentials = [value for headers in installation.credentials.values() for value in headers.values()]
    hidden = (TEXT, OWNER, TWIN, OTHER, QUEUE, SECRET, OPERATOR, *credentials)
    wrong += [f"{where} wrote {text[:6]}..." for text in hidden if text in str(written)]
    return wrong


async def test_everybody_may_do_exactly_what_the_document_says(
    installed: Callable[[], Any], record_property: Callable[[str, object], None]
) -> None:
    installation = await installed()
    templates = list(installation.document["paths"])
    wrong, cells = [], Counter[str]()
    for template in templates:
        for method in METHODS:
            for asker in ASKERS:
                before = await installation.owned()
                with audit_events() as events:
                    answer = await cell(installation, template, method, asker)
                wrong += misaudited(installation, events, template, method, asker, answer)
                cells[asker] += 1
                if answer.status_code not in (wanted := expected(installation.document, template, method, asker)):
                    wrong.append(f"{asker}: {method} {template} gave {answer.status_code}, not {sorted(wanted)}")
                if asker == "owner":
                    installation = await installed()
                    continue
                shown = f"{answer.text} {answer.headers}"
                if any(text in shown for text in secrets(installation)):
                    wrong.append(f"{asker}: {method} {template} showed what is the owner's")
                if await installation.owned() != before:
                    wrong.append(f"{asker}: {method} {template} changed what is the owner's")
                    installation = await installed()
    assert wrong == []
    assert cells == dict.fromkeys(ASKERS, len(templates) * len(METHODS))
    record_property("cells", cells.total())
    print(f"{cells.total()} cells: {len(templates)} routes x {len(METHODS)} methods x {len(ASKERS)} askers")


def foreign(template: str, method: str) -> Cell | None:
    """The row of a front door; HEAD is answered wherever GET is."""
    return FOREIGN.get((method, template), FOREIGN.get(("GET", template)) if method == "HEAD" else None)


def expected_at_door(installation: Installation, template: str, method: str, asker: str) -> set[int]:
    """The statuses that a cell of a front door may have. Where nobody needs a key, any text counts as none."""
    row = foreign(template, method)
    if row is None:
        return {405}
    if not row.public and {} not in installation.document["security"] and asker in ("nobody", "queue", "operator"):
        return {401}
    return {row.owner if asker == "owner" else row.others}


async def test_a_front_door_adds_no_power(installed: Callable[[], Any]) -> None:
    installation = await installed()
    routes = [route for door in DOORS for route in door.routes]
    served = {(route.path, method) for route in routes for method in route.methods or () if method != "HEAD"}
    assert {(path, method) for method, path in FOREIGN} == served
    wrong = []
    for template in sorted({path for path, _ in served}):
        for method in METHODS:
            for asker in ASKERS:
                before = await installation.owned()
                with audit_events() as events:
                    answer = await cell(installation, template, method, asker)
                wrong += misaudited(installation, events, template, method, asker, answer)
                wanted = expected_at_door(installation, template, method, asker)
                if answer.status_code not in wanted:
                    wrong.append(f"{asker}: {method} {template} gave {answer.status_code}, not {sorted(wanted)}")
                if asker == "owner":
                    if method not in ("GET", "HEAD"):
                        installation = await installed()
                    continue
                if any(text in f"{answer.text} {answer.headers}" for text in secrets(installation)):
                    wrong.append(f"{asker}: {method} {template} showed what is the owner's")
                if await installation.owned() != before:
                    wrong.append(f"{asker}: {method} {template} changed what is the owner's")
                    installation = await installed()
    assert wrong == []


async def test_only_the_operator_sees_the_metrics_and_which_part_is_not_ready(installed: Callable[[], Any]) -> None:
    installation = await installed()
    for asker in ASKERS:
        metrics = await cell(installation, "/metrics", "GET", asker)
        ready = await cell(installation, "/ready", "GET", asker)
        assert ("gnosis_http_requests_total" in metrics.text) == (asker == "operator"), asker
        assert (set(ready.json()) == {"ready"}) == (asker != "operator"), asker


async def test_a_user_with_the_hash_of_another_is_not_counted_with_them(installed: Callable[[], Any]) -> None:
    installation = await installed()
    headers = installation.credentials["twin"]
    listed = await installation.client.get("/api/jobs", headers=headers)
    assert listed.json() == {"jobs": [], "next_cursor": None}
    # The owner's own uploads fill the owner's places, not the twin's.
    for _ in range(ACTIVE_JOBS):
        answer = await cell(installation, "/api/direct-uploads", "POST", "owner")
    assert answer.status_code == 429
    assert (await cell(installation, "/api/direct-uploads", "POST", "twin")).status_code == 201


async def test_internal_routes_take_the_queue_alone(installed: Callable[[], Any]) -> None:
    installation = await installed()
    routes = [route for route in ROUTES if route.path.startswith("/internal/")]
    assert "/internal/extract" in [route.path for route in routes]
    wrong = []
    for route in routes:
        for method in METHODS:
            for asker in ASKERS:
                with audit_events() as events:
                    answer = await cell(installation, route.path, method, asker)
                assert len(events) == (answer.status_code == 401), (asker, method, route.path)
                wanted = {401} if asker != "queue" else {200, 201}
                if method != "POST":
                    wanted = {405}
                if answer.status_code not in wanted:
                    wrong.append(f"{asker}: {method} {route.path} gave {answer.status_code}, not {sorted(wanted)}")
    assert wrong == []


async def test_the_owner_of_the_matrix_really_has_something_to_lose(installed: Callable[[], Any]) -> None:
    installation = await installed()
    assert TEXT in (await cell(installation, "/api/jobs/{job_id}/pages/{n}", "GET", "owner")).text
    assert TEXT in (await cell(installation, "/api/jobs/{job_id}/result", "GET", "owner")).text
    assert TEXT in (await cell(installation, "/storage/{user_hash}/{session_id}/{filename}", "GET", "owner")).text
    before = await installation.owned()
    assert len(before) >= 8
    assert (await cell(installation, "/api/jobs/{job_id}", "DELETE", "owner")).status_code == 204
    assert await installation.owned() != before
