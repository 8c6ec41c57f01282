"""What the running services answer is what `/openapi.json` promises."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # publishes no types
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from starlette.routing import Route

from services.web.app import ROUTES
from services.web.frontdoors.doors import DOORS
from services.web.system.site import interface
from tests.documents import pdf
from tests.running import Running, running
from tests.scripted import Script

DOCUMENT = interface()
UNKNOWN = "0" * 32


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> object:
    with running(tmp_path_factory.mktemp("interface"), script=Script(fail=(2,))) as found:
        yield found


@pytest.fixture(scope="module")
def job_id(services: Running, tmp_path_factory: pytest.TempPathFactory) -> str:
    found = services.upload(pdf(tmp_path_factory.mktemp("document") / "two.pdf", 2))
    assert services.ended(found)["status"] == "partial"
    return found


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        target: Any = DOCUMENT
        for key in node["$ref"].removeprefix("#/").split("/"):
            target = target[key]
        node = target
    return node


def check(template: str, method: str, answer: httpx.Response) -> None:
    """The answer's status, media type and body are among those that the document promises."""
    responses = DOCUMENT["paths"][template][method]["responses"]
    assert str(answer.status_code) in responses, f"{method} {template} may not answer {answer.status_code}"
    promised = resolved(responses[str(answer.status_code)]).get("content", {})
    if answer.status_code in (204, 304):
        assert answer.content == b""
        return
    media_type = answer.headers["content-type"].split(";")[0]
    assert media_type in promised, f"{media_type} is not among {list(promised)}"
    if media_type.endswith("json") and "schema" in promised[media_type]:
        registry = Registry().with_resource("urn:api", DRAFT202012.create_resource(DOCUMENT))
        schema = anchored(promised[media_type]["schema"])
        Draft202012Validator(schema, registry=registry).validate(answer.json())


def anchored(node: Any) -> Any:
    """The schema with its references made absolute, so that they are found in the document."""
    if isinstance(node, dict):
        return {
            key: f"urn:api{value}" if key == "$ref" and value.startswith("#") else anchored(value)
            for key, value in node.items()
        }
    return [anchored(item) for item in node] if isinstance(node, list) else node


@pytest.mark.parametrize(
    ("template", "headers", "status"),
    [
        ("/", {}, 200),
        ("/docs", {}, 200),
        ("/openapi.json", {}, 200),
        ("/schemas/page.json", {}, 200),
        ("/version", {}, 200),
        ("/health", {}, 200),
        ("/ready", {}, 200),
        ("/cache/info", {}, 200),
        ("/api/jobs", {}, 200),
        ("/api/jobs", {"X-User-Email": "nobody"}, 400),
        ("/api/jobs/{job_id}/status", {}, 200),
        ("/api/v1/jobs/{job_id}/status", {}, 200),
        ("/api/jobs/{job_id}/result", {}, 200),
        ("/api/jobs/{job_id}/pages/{n}", {}, 200),
        ("/api/jobs/{job_id}/pages/{n}", {"Accept": "application/json"}, 200),
        ("/api/jobs/{job_id}/pages/{n}", {"Accept": "text/html"}, 200),
        ("/api/jobs/{job_id}/status", {"Origin": "http://evil.example"}, 403),
    ],
)
def test_answers_keep_their_schema(
    services: Running, job_id: str, template: str, headers: dict[str, str], status: int
) -> None:
    answer = services.get(template.format(job_id=job_id, n=1), **headers)
    assert answer.status_code == status
    check(template, "get", answer)


def test_errors_and_empty_answers_keep_their_schema(services: Running, job_id: str, tmp_path: Path) -> None:
    tag = services.get(f"/api/jobs/{job_id}/status").headers["etag"]
    check("/api/jobs/{job_id}/status", "get", services.get(f"/api/jobs/{job_id}/status", **{"If-None-Match": tag}))
    check("/api/jobs/{job_id}/status", "get", services.get(f"/api/jobs/{UNKNOWN}/status"))
    check("/api/jobs/{job_id}/pages/{n}", "get", services.get(f"/api/jobs/{job_id}/pages/2"))
    check("/api/jobs/{job_id}/pages/{n}", "get", services.get(f"/api/jobs/{job_id}/pages/3"))
    image = "/api/jobs/{job_id}/pages/{n}/image"
    for query in ("1/image", "1/image?width=200", "1/image?width=x", "9/image"):
        check(image, "get", services.get(f"/api/jobs/{job_id}/pages/{query}"))
    check("/api/jobs/{job_id}/result", "get", services.get(f"/api/jobs/{job_id}/result?format=docx"))
    check("/api/jobs", "get", services.get("/api/jobs?limit=x"))
    check("/api/jobs", "get", services.get("/api/jobs?cursor=x"))
    check("/upload", "post", httpx.post(f"{services.url}/upload", files={"file": ("x.txt", b"plain text")}))
    check("/upload", "post", httpx.post(f"{services.url}/upload", content=b"x"))
    other = services.upload(pdf(tmp_path / "one.pdf", 1))
    services.ended(other)
    check("/api/jobs/{job_id}/retry", "post", httpx.post(f"{services.url}/api/jobs/{other}/retry"))
    check("/api/jobs/{job_id}/retry", "post", httpx.post(f"{services.url}/api/jobs/{other}/retry", content=b"{"))
    check("/api/jobs/{job_id}/cancel", "post", httpx.post(f"{services.url}/api/jobs/{other}/cancel"))
    check("/api/jobs/{job_id}", "delete", httpx.delete(f"{services.url}/api/jobs/{other}"))
    check("/api/jobs/{job_id}", "delete", httpx.delete(f"{services.url}/api/jobs/{other}"))


def test_every_route_is_described_and_every_description_has_a_route() -> None:
    """But for the front doors, whose interfaces are described elsewhere, by those who made them."""
    foreign = [route for door in DOORS for route in door.routes]
    served = {
        (route.path, method.lower())
        for route in ROUTES
        if isinstance(route, Route) and not route.path.startswith("/internal") and route not in foreign
        for method in (route.methods or ())
        if method != "HEAD"
    }
    described = {
        (path, method)
        for path, item in DOCUMENT["paths"].items()
        for method in item
        if method in {"get", "post", "put", "patch", "delete", "options"}
    }
    assert served == described


def test_a_user_with_too_many_active_jobs_is_asked_to_wait(tmp_path: Path) -> None:
    with running(tmp_path, script=Script(seconds=30), ACTIVE_JOBS_PER_USER="2") as services:
        path = pdf(tmp_path / "one.pdf", 1)

        def send(_: int) -> httpx.Response:
            return httpx.post(f"{services.url}/upload", files={"file": ("x.pdf", path.read_bytes())})

        with ThreadPoolExecutor(6) as senders:
            answers = list(senders.map(send, range(6)))
        assert sorted(answer.status_code for answer in answers) == [202] * 2 + [429] * 4, "a race for the last place"
        answer = send(0)
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 0
        check("/upload", "post", answer)
        other = services.upload(path, user="other@example.org")
        assert other, "one user's jobs are no other's concern"


@pytest.mark.parametrize(("extra", "status"), [(-1, 202), (0, 202), (1, 413)])
def test_upload_limit_holds_to_the_byte(tmp_path: Path, extra: int, status: int) -> None:
    content = pdf(tmp_path / "one.pdf", 1).read_bytes()
    with running(tmp_path, script=Script(), UPLOAD_MAX_BYTES=str(len(content) - extra)) as services:
        answer = httpx.post(f"{services.url}/upload", files={"file": ("one.pdf", content)})
        assert answer.status_code == status
        check("/upload", "post", answer)
        if status == 413:
            assert not list(services.storage.glob("users/*/*"))
            assert not list(services.storage.glob(".tmp/*"))
