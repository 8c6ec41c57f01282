"""Requests made from `/openapi.json`, sent to running services, and their answers held against it; and requests to the
front doors, of which no answer may be a fault of the service.

Half of them keep to the document and half break it. Now and then they name a real job, a real page, a real file, as
its owner or as somebody else, so that they get past the first check of the routes.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from services.web.system.site import interface
from tests.documents import pdf
from tests.fuzz import doors
from tests.running import Running
from tests.scripted import Script

Send = Callable[[int, int], "Counter[int]"]

# The types of files that the interface takes and schemathesis does not know.
schemathesis.serializer.alias(
    ["application/pdf", "image/tiff", "image/bmp", "image/jp2", "application/offset+octet-stream"],
    "application/octet-stream",
)

SCRIPT = Script(fail=(2,), blank=(3,))
SETTINGS = {"ACTIVE_JOBS_PER_USER": "100000", "SWEEP_SECONDS": "30"}
METHODS = frozenset({"get", "post", "delete", "put", "patch", "head", "options"})
#: Of the front doors.
FOREIGN_LABELS = tuple(f"{method.upper()} {path}" for path, item in doors.PATHS.items() for method in item)
LABELS = (
    *(
        f"{method.upper()} {path}"
        for path, item in interface()["paths"].items()
        for method in item
        if method in METHODS
    ),
    *FOREIGN_LABELS,
)

OWNER, STRANGER = "owner@example.org", "stranger@example.org"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Running services with one job that has ended: page 1 read, page 2 failed, page 3 blank; and an open upload."""

    url: str
    job_id: str
    upload_id: str
    file_id: str
    user_hash: str
    document: bytes
    #: Another document, which anybody may have read.
    other: bytes
    secret: str
    """What only the owner may see: the text of page 1."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """How a generated case is bent towards the real job."""

    asker: str
    job: bool
    page: str | None
    file: str | None
    upload: bool


# The first of each is what hypothesis tries most.
wishes = st.builds(
    Wish,
    asker=st.sampled_from([OWNER, OWNER, STRANGER, ""]),
    job=st.sampled_from([True, True, False]),
    page=st.sampled_from(["1", "2", "3", None, "4", "001"]),
    file=st.sampled_from(
        ["page_001.png", "page_001_result.txt", "combined_output.md", "processing.json", "three.pdf", None]
    ),
    upload=st.sampled_from([False, False, False, True]),
)


def target(services: Running) -> Target:
    """Upload the document that the requests may hit, and wait for its job."""
    path = pdf(services.logs / "three.pdf", 3)
    job_id = services.upload(path, user=OWNER)
    owner = {"X-User-Email": OWNER}

    def ended() -> dict[str, Any] | None:
        job = services.status(job_id, user=OWNER)
        return job if job["status"] == "partial" else None

    job = services.until(ended, "the job to end")
    begun = httpx.post(
        f"{services.url}/api/uploads", headers={**owner, "Tus-Resumable": "1.0.0", "Upload-Length": "1000000"}
    )
    kept = httpx.post(f"{services.url}/v1/files", headers=owner, files={"file": ("three.pdf", path.read_bytes())})
    return Target(
        url=services.url,
        job_id=job_id,
        file_id=kept.json()["id"],
        upload_id=begun.headers["location"].rsplit("/", 1)[-1],
        user_hash=job["user_hash"],
        document=path.read_bytes(),
        other=pdf(services.logs / "other.pdf", 2, text="Page {n} of another document.").read_bytes(),
        secret=services.get(f"/api/jobs/{job_id}/pages/1", **owner).text,
    )


def operations(target: Target) -> dict[str, tuple[float, Send]]:
    """For each operation its share of the cases, and what sends so many of them from a seed.

    That counts the answers by status, and raises on a fault.
    """
    document = httpx.get(f"{target.url}/openapi.json").json()
    document["paths"] |= doors.PATHS
    results = schemathesis.openapi.from_dict(document).get_all_operations()
    found = [result.ok() for result in results if isinstance(result, Ok)]
    # An operation without parameters has one request to it.
    weights = [1.0 if _takes_something(operation) else 0.05 for operation in found]
    return {
        operation.label: (weight / sum(weights), _sender(operation, target))
        for operation, weight in zip(found, weights, strict=True)
    }


def _takes_something(operation: Any) -> bool:
    return any((operation.path_parameters, operation.query, operation.headers, operation.body))


def _sender(operation: Any, target: Target) -> Send:
    # Where there are no parameters, there is nothing to break.
    modes = list(GenerationMode) if _takes_something(operation) else [GenerationMode.POSITIVE]
    cases = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in modes))

    def send(count: int, start: int) -> Counter[int]:
        answers: Counter[int] = Counter()

        @seed(start)
        @settings(
            max_examples=count,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        )
        @given(case=cases, wish=wishes)
        def run(case: Any, wish: Wish) -> None:
            names_the_job = _bend(case, wish, target)
            answer = case.call(
                base_url=target.url, headers={"X-User-Email": wish.asker} if wish.asker else {}, timeout=60
            )
            answers[answer.status_code] += 1
            # A part of a JSON file is no JSON.
            is_checked = answer.status_code != 206 and operation.label not in FOREIGN_LABELS
            case.validate_response(answer, checks=CHECKS if is_checked else [not_a_server_error])
            if wish.asker != OWNER:
                assert target.secret.encode() not in answer.content, "a stranger read the owner's text"
                if names_the_job:
                    assert answer.status_code in (403, 404), f"a stranger got {answer.status_code}"

        run()
        return answers

    return send


def _bend(case: Any, wish: Wish, target: Target) -> bool:
    """Put the real job, page, file or document into the case; whether it now names the owner's job."""
    names = case.path_parameters
    if wish.upload and case.path == "/upload":
        fields = case.body if isinstance(case.body, dict) else {}
        case.body = {**fields, "file": target.document}
        case.media_type = "multipart/form-data"
    if wish.upload and case.path in doors.PATHS:
        case.body = doors.with_document(case.body, case.media_type, target.other)
    # Its owner may delete the job at any time, but then the others have nothing left to hit.
    if not wish.job or (case.method.upper() == "DELETE" and wish.asker == OWNER):
        return False
    if wish.page is not None and "n" in names:
        names["n"] = wish.page
    if wish.file is not None and "filename" in names:
        names["filename"] = wish.file
    if "upload_id" in names:
        names["upload_id"] = target.upload_id
    if "model" in names:
        names["model"] = "prebuilt-read"
    if "file_id" in names:
        names["file_id"] = target.file_id
    if "user_hash" in names:
        names["user_hash"] = target.user_hash
    for name in ("job_id", "session_id"):
        if name in names:
            names[name] = target.job_id
            return True
    return "file_id" in names
