"""Who is believed, under which settings; and which pages may ask."""

from collections.abc import Awaitable, Callable

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from libs.internal_token import HEADER, InternalToken, internal_token
from libs.storage import layout
from libs.storage.memory import MemoryStore
from services.serving.queue_identity import SharedSecret
from services.web.auth import apikey, keyring
from services.web.auth.apikey import Scope
from services.web.auth.configured import configured_identity
from services.web.config import WebConfig
from tests.inprocess import in_process, outward_client

OWNER = "owner@example.org"


def service(config: WebConfig, store: MemoryStore) -> httpx.AsyncClient:
    outward = outward_client()
    identity = configured_identity(config, store=store, client=outward)
    return in_process(
        config, store=store, identity=identity, queue_identity=SharedSecret(InternalToken("s")), outward=outward
    )


async def key(store: MemoryStore, *scopes: Scope) -> str:
    made, text = apikey.issue(email=OWNER, scopes=scopes or (Scope.WRITE,), at=await store.now(), days=1)
    await keyring.save_new(store, made)
    return text


@pytest.mark.parametrize(
    "config",
    [
        WebConfig(running_in_cloud=True, api_keys=True),
        WebConfig(running_in_cloud=True, google_audience="client"),
        WebConfig(running_in_cloud=True, iap_audience="/projects/1"),
        WebConfig(running_in_cloud=True),
        WebConfig(api_keys=True),
        WebConfig(google_audience="client"),
        WebConfig(iap_audience="/projects/1"),
    ],
    ids=lambda config: f"{'cloud' if config.running_in_cloud else 'local'} {config.asks_for_proof}",
)
async def test_where_a_proof_is_asked_for_a_bare_header_is_refused(config: WebConfig) -> None:
    async with service(config, MemoryStore()) as client:
        for headers in ({"X-User-Email": OWNER}, {}):
            answer = await client.get("/api/jobs", headers=headers)
            assert answer.status_code == 401
            assert answer.headers["content-type"] == "application/problem+json"
        assert "X-User-Email" in (await client.get("/api/jobs", headers={"X-User-Email": OWNER})).json()["detail"]


@pytest.mark.parametrize(
    ("config", "ways", "example"),
    [
        (WebConfig(), [["key"], ["bearer"], ["user"], []], False),
        (WebConfig(api_keys=True), [["key"], ["bearer"]], True),
        (WebConfig(running_in_cloud=True, google_audience="client"), [["bearer"]], True),
        (WebConfig(running_in_cloud=True, iap_audience="/projects/1"), [["iap"]], False),
        (WebConfig(iap_audience="/projects/1", api_keys=True), [["key"], ["bearer"], ["iap"]], True),
    ],
    ids=["local", "keys", "google", "iap", "iap and keys"],
)
async def test_the_interface_names_what_is_taken_here(config: WebConfig, ways: list[list[str]], example: bool) -> None:
    async with service(config, MemoryStore()) as client:
        document = (await client.get("/openapi.json")).json()
        assert [list(way) for way in document["security"]] == ways
        assert set(document["components"]["securitySchemes"]) == {name for way in ways for name in way} | (
            set() if config.trusts_header else {"operator"}
        )
        assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []
        page = (await client.get("/docs")).text
        assert ("<td><code>X-User-Email</code></td>" in page) == (["user"] in ways)
        assert ("<td><code>Authorization</code></td>" in page) == (["bearer"] in ways or not config.trusts_header)
        somebodys = [entry for item in document["paths"].values() for entry in item.values() if "operationId" in entry]
        somebodys = [entry for entry in somebodys if "security" not in entry]
        assert page.count("YOUR_KEY_OR_TOKEN") == (len(somebodys) if example else 0)


async def test_local_mode_believes_the_header_and_takes_keys_beside_it() -> None:
    store = MemoryStore()
    text = await key(store)
    async with service(WebConfig(), store) as client:
        uploaded = await client.post(
            "/upload", files={"file": ("a.pdf", b"%PDF-1.7 a")}, headers={"X-User-Email": OWNER.upper()}
        )
        job_id = uploaded.json()["job_id"]
        for headers in ({"X-Api-Key": text}, {"Authorization": f"Bearer {text}"}, {"X-User-Email": OWNER}):
            assert (await client.get(f"/api/jobs/{job_id}/status", headers=headers)).status_code == 200
            assert (await client.get(f"/api/jobs/{job_id}/status", headers=headers)).json()["user_email"] == OWNER
        assert (await client.get(f"/api/jobs/{job_id}/status")).status_code == 404
        # The key says who asks, whatever a header says beside it.
        both = {"X-Api-Key": text, "X-User-Email": "other@example.org"}
        assert (await client.get(f"/api/jobs/{job_id}/status", headers=both)).status_code == 200


@pytest.mark.parametrize(
    "make",
    [
        lambda text: {"X-Api-Key": text[:-1]},
        lambda text: {"Authorization": f"Bearer {text[:-1]}"},
        lambda text: {"Authorization": "Bearer a.b.c"},
        lambda text: {"Authorization": "Bearer "},
        lambda text: {"X-Api-Key": ""},
        lambda text: {"X-Api-Key": text, "Authorization": f"Bearer {text}"},
    ],
    ids=["short", "short bearer", "a token", "no token", "empty", "both"],
)
async def test_a_proof_that_fails_is_not_taken_for_nobody(make: Callable[[str], dict[str, str]]) -> None:
    store = MemoryStore()
    headers = make(await key(store))
    for config in (WebConfig(), WebConfig(running_in_cloud=True, api_keys=True)):
        async with service(config, store) as client:
            assert (await client.get("/api/jobs", headers=headers)).status_code == 401


async def test_a_key_to_read_may_not_upload() -> None:
    store = MemoryStore()
    headers = {"X-Api-Key": await key(store, Scope.READ)}
    async with service(WebConfig(), store) as client:
        assert (await client.get("/api/jobs", headers=headers)).status_code == 200
        refused = await client.post("/upload", files={"file": ("a.pdf", b"%PDF-1.7 a")}, headers=headers)
        assert refused.status_code == 403
        assert refused.json()["title"] == "Key not allowed"
    assert [stat.path async for stat in store.list("users/")] == []


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
@pytest.mark.parametrize("meant", ["DELETE", "PATCH"])
async def test_a_key_to_read_does_not_write_by_naming_another_method(method: str, meant: str) -> None:
    store = MemoryStore()
    reading, writing = await key(store, Scope.READ), await key(store, Scope.WRITE)
    tus = {"Tus-Resumable": "1.0.0"}
    async with service(WebConfig(), store) as client:
        begun = await client.post("/api/uploads", headers={"X-Api-Key": writing, **tus, "Upload-Length": "10"})
        before = [stat async for stat in store.list("users/")]
        await client.request(
            method,
            begun.headers["Location"],
            content=b"%PDF-1.7 a",
            headers={
                "X-Api-Key": reading,
                **tus,
                "X-HTTP-Method-Override": meant,
                "Upload-Offset": "0",
                "Content-Type": "application/offset+octet-stream",
            },
        )
        assert [stat async for stat in store.list("users/")] == before


@pytest.mark.parametrize(
    ("given", "cloud", "local"),
    [
        ({}, True, True),
        ({"Origin": "http://localhost"}, True, True),
        ({"Origin": "http://localhost:80"}, True, True),
        ({"Origin": "http://localhost:8443"}, False, False),
        ({"Origin": "https://localhost"}, False, False),
        ({"Host": "localhost:7799", "Origin": "http://localhost:7799"}, True, True),
        ({"Host": "localhost:7799", "Origin": "http://localhost:3000"}, False, False),
        ({"Host": "localhost:7799", "Origin": "http://127.0.0.1:7799"}, False, False),
        ({"Host": "[::1]:7799", "Origin": "http://[::1]:7799"}, True, True),
        ({"Host": "pages.example.org:7799", "Origin": "http://pages.example.org:7799"}, False, True),
        ({"Host": "pages.example.org:7799", "Origin": "https://pages.example.org:7799"}, True, True),
        ({"Origin": "https://pages.example.org"}, True, True),
        ({"Origin": "http://pages.example.org"}, False, True),
        ({"Origin": "https://pages.example.org:8443"}, False, False),
        ({"Origin": "https://x@pages.example.org"}, False, False),
        ({"Origin": "https://tls.example.org:8443"}, True, True),
        ({"Origin": "http://tls.example.org:8443"}, False, False),
        ({"Origin": "https://tls.example.org"}, False, False),
        ({"Host": "tls.example.org:8443"}, True, True),
        ({"Host": "tls.example.org", "Origin": "http://tls.example.org"}, False, False),
        ({"Origin": "https://evil.example"}, False, False),
        ({"Origin": "https://localhost.evil.example"}, False, False),
        ({"Origin": "null"}, False, False),
        ({"Origin": ""}, False, False),
        ({"Origin": "http://["}, False, False),
        ({"Host": "web.example.org"}, True, False),
        ({"Host": "web.example.org", "Origin": "https://web.example.org"}, True, False),
        ({"Host": "web.example.org", "Origin": "http://web.example.org"}, False, False),
        ({"Host": "web.example.org", "Origin": "https://web.example.org:8443"}, False, False),
        ({"Host": "web.example.org", "Origin": "http://localhost"}, False, False),
        ({"Host": "", "Origin": ""}, False, False),
    ],
    ids=str,
)
async def test_pages_elsewhere_may_not_ask(given: dict[str, str], cloud: bool, local: bool) -> None:
    allowed = "pages.example.org, https://tls.example.org:8443"
    for config, admitted in (
        (WebConfig(running_in_cloud=True, allowed_hosts=allowed), cloud),
        (WebConfig(allowed_hosts=allowed), local),
    ):
        async with service(config, MemoryStore()) as client:
            answer = await client.get("/version", headers=given)
            assert answer.status_code == (200 if admitted else 403)


@pytest.mark.parametrize(
    ("method", "site", "admitted"),
    [
        ("POST", "cross-site", False),
        ("POST", "same-site", False),
        ("DELETE", "cross-site", False),
        ("POST", "same-origin", True),
        ("POST", "none", True),
        ("POST", None, True),
        ("GET", "cross-site", True),
    ],
)
async def test_only_the_services_own_page_changes_anything(method: str, site: str | None, admitted: bool) -> None:
    async with service(WebConfig(), MemoryStore()) as client:
        answer = await client.request(
            method,
            "/api/jobs/unknown/cancel" if method == "POST" else "/api/jobs/unknown",
            headers={} if site is None else {"Sec-Fetch-Site": site},
        )
    assert (answer.status_code != 403) == admitted
    if not admitted:
        assert answer.json()["title"] == "Origin refused"


@pytest.mark.parametrize("path", ["/version", "/", "/nowhere"])
async def test_no_page_of_another_origin_embeds_an_answer(path: str) -> None:
    async with service(WebConfig(), MemoryStore()) as client:
        answer = await client.get(path)
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert {"object-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"} <= set(
        answer.headers["content-security-policy"].split("; ")
    )
    assert "strict-transport-security" not in answer.headers, "local mode has no TLS"


async def test_in_the_cloud_browsers_use_tls_alone() -> None:
    async with service(WebConfig(running_in_cloud=True, api_keys=True), MemoryStore()) as client:
        for path in ("/", "/api/jobs"):
            assert (await client.get(path)).headers[
                "strict-transport-security"
            ] == "max-age=31536000; includeSubDomains"


@pytest.mark.parametrize("header", ["X-User-Email", "X-Api-Key", "Authorization", "X-Goog-IAP-JWT-Assertion"])
async def test_a_repeated_identity_header_is_refused(header: str) -> None:
    config = WebConfig(google_audience="client", iap_audience="/projects/1", api_keys=True)
    for values in (("one", "two"), ("one", "one"), ("", "")):
        async with service(config, MemoryStore()) as client:
            answer = await client.get("/api/jobs", headers=[(header, value) for value in values])
        assert answer.status_code == 400
        assert header in answer.json()["detail"]


async def damaged(store: MemoryStore) -> None:
    await store.write(layout.system_path("internal_token"), b"")


async def nothing(store: MemoryStore) -> None:
    """Leave the storage as it is."""


@pytest.mark.parametrize("before", [damaged, nothing])
async def test_no_header_is_never_the_internal_token(before: Callable[[MemoryStore], Awaitable[None]]) -> None:
    store = MemoryStore()
    await before(store)
    token = await internal_token(store, "")
    for given in (None, "", "x"):
        assert not await token.accepts(given)
    outward = outward_client()
    config = WebConfig()
    identity = configured_identity(config, store=store, client=outward)
    async with in_process(
        config, store=store, identity=identity, queue_identity=SharedSecret(token), outward=outward
    ) as client:
        for headers in ({}, {HEADER: ""}):
            assert (await client.post("/internal/extract", json={}, headers=headers)).status_code == 401
