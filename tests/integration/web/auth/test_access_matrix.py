"""Every route by every method for everybody: what each may do follows from `/openapi.json` and from who owns the job.

A route that joins the document joins the matrix. What it needs beside its address is told in BODIES. The routes of the
front doors, which the document leaves out, are in `foreign`.
"""

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import msgspec
import pytest

from libs.idtoken.token import GOOGLE, IAP
from libs.internal_token import InternalToken
from libs.jobstate import intake as intakes
from libs.jobstate import outcome as outcomes
from libs.jobstate import record
from libs.jobstate.intake import FileInfo, Intake, Options
from libs.jobstate.job import Job
from libs.jobstate.outcome import OutcomeStatus, PageOutcome
from libs.storage import layout
from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles, create_session
from services.serving.queue_identity import SharedSecret, queue_account
from services.web.app import ROUTES
from services.web.auth import apikey, keyring
from services.web.auth.apikey import Scope
from services.web.auth.configured import configured_identity
from services.web.config import WebConfig
from services.web.frontdoors.doors import DOORS
from tests.auditing import audit_events
from tests.inprocess import in_process, outward_client
from tests.integration.web.auth.foreign import FOREIGN, Cell
from tests.issuer import Publisher, publishing
from tests.reachable import ReachableStore

#: The owner and the twin have addresses with the same hash, and so the same folder.
OWNER, TWIN = "u24485408@sec.example", "u34974273@sec.example"
OTHER, QUEUE = "other@example.org", "queue@project.iam.gserviceaccount.com"
AUDIENCE, SERVICE, SECRET = "/projects/1/global/backendServices/2", "https://web.example.org", "s" * 40
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
ASKERS = ("nobody", "other", "twin", "owner", "queue", "operator")
OPERATOR = "o" * 40
WAYS = ("local", "key", "google", "iap")
ACTIVE_JOBS = 20
TEXT = "Only its owner reads this."

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
TUS = {"Tus-Resumable": "1.0.0"}
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


class Installation(msgspec.Struct, frozen=True, kw_only=True):
    """A service with one job, one file and two begun uploads of the owner, and what each asker sends.

    All bytes of the direct one are there.
    """

    client: httpx.AsyncClient
    store: MemoryStore
    files: SessionFiles
    upload_id: str
    direct_id: str
    file_id: str
    credentials: dict[str, dict[str, str]]
    document: dict[str, Any]

    def address(self, template: str) -> str:
        return template.format(
            job_id=self.files.session_id,
            session_id=self.files.session_id,
            upload_id=self.direct_id if "/direct-" in template else self.upload_id,
            user_hash=self.files.user_hash,
            n=1,
            filename="page_001.png",
            queue="ocr-processing",
            file_id=self.file_id,
            model="prebuilt-read",
        )

    async def owned(self) -> dict[str, int]:
        """Everything of the owner, by generation."""
        sessions = (self.files.session_id, self.upload_id, self.direct_id, self.file_id)
        return {
            stat.path: stat.generation
            async for stat in self.store.list("")
            if any(session in stat.path for session in sessions)
        }


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


async def credential(
    way: str, email: str, store: MemoryStore, publishers: tuple[Publisher, Publisher]
) -> dict[str, str]:
    iap, google = publishers
    match way:
        case "local":
            return {"X-User-Email": email}
        case "key":
            key, text = apikey.issue(email=email, scopes=(Scope.WRITE,), at=await store.now(), days=1)
            await keyring.save_new(store, key)
            return {"X-Api-Key": text}
        case "google":
            return {"Authorization": f"Bearer {google.sign(claims(GOOGLE.names[0], AUDIENCE, email))}"}
    return {"X-Goog-IAP-JWT-Assertion": iap.sign(claims(IAP.names[0], AUDIENCE, email))}


def claims(issuer: str, audience: str, email: str) -> dict[str, Any]:
    now = int(time.time())
    return {"iss": issuer, "aud": audience, "email": email, "email_verified": True, "iat": now, "exp": now + 900}


async def ended_job(store: MemoryStore) -> SessionFiles:
    """A job of the owner with page 1 read and page 2 failed, as the services leave it."""
    files = await create_session(store, OWNER)
    at = await store.now()
    asked = Intake(
        session_id=files.session_id,
        user_email=OWNER,
        file_info=FileInfo(filename="a.pdf", file_type="pdf", raw_file="a.pdf", file_size=9),
        options=Options(),
        created_at=at,
    )
    read = [
        PageOutcome(page_no=1, run=1, status=OutcomeStatus.COMPLETED, text=TEXT, completed_at=at),
        PageOutcome(page_no=2, run=1, status=OutcomeStatus.FAILED, error="It is torn.", completed_at=at),
    ]
    job = Job.opened(asked).load(at).plan((1, 2), total_pages=2, batch_size=2, parallelism=1, at=at)
    job = job.rendered(dict.fromkeys((1, 2), at), at).extracted(at)
    job = job.settled({outcome.page_no: outcome.brief() for outcome in read}, at).combining(at).end(at)
    await store.write(files.path("a.pdf"), b"%PDF-1.7 " + TEXT.encode())
    await store.write(files.path(layout.INTAKE), intakes.encode(asked))
    await store.write(files.path(layout.RECORD), record.encode(job))
    for outcome in read:
        await files.save_page_image(outcome.page_no, b"\x89PNG " + TEXT.encode())
        await store.write(files.path(layout.PAGE_OUTCOME.format(outcome.page_no)), outcomes.encode(outcome))
    await files.save_combined(TEXT)
    await store.write(files.searchable_path, b"%PDF-1.7 " + TEXT.encode())
    return files


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
