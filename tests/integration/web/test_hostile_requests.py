"""Requests that no honest client sends: each has a clear answer, leaves nothing behind, and the service goes on."""

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.documents import pdf
from tests.running import Running, running
from tests.scripted import Script

UNKNOWN = "0" * 32
MAX_UPLOAD = 2_000_000
MAX_JSON = 1_000_000
NESTED = b"[" * 10_000 + b"]" * 10_000
FORM = "multipart/form-data; boundary=b"


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(
        tmp_path_factory.mktemp("hostile"),
        script=Script(),
        UPLOAD_MAX_BYTES=str(MAX_UPLOAD),
        UPLOAD_STALL_SECONDS="4",
        ACTIVE_JOBS_PER_USER="1000",
    ) as found:
        yield found


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return pdf(tmp_path_factory.mktemp("document") / "one.pdf", 1).read_bytes()


@pytest.fixture(scope="module")
def job_id(services: Running, document: bytes) -> str:
    answer = httpx.post(f"{services.url}/upload", files={"file": ("one.pdf", document)})
    found = str(answer.json()["job_id"])
    assert services.ended(found)["status"] == "completed"
    services.until(lambda: not list(services.storage.glob("active/*/*")), "the job to leave the index")
    return found


@pytest.fixture(scope="module")
def token(services: Running) -> dict[str, str]:
    return {"X-Internal-Token": (services.storage / "system" / "internal_token").read_text()}


@pytest.fixture(autouse=True)
def the_service_goes_on(services: Running, job_id: str) -> Iterator[None]:
    yield
    assert services.get("/health").status_code == 200
    assert httpx.get(f"http://127.0.0.1:{services.worker_port}/health").status_code == 200
    for name in ("web", "worker"):
        assert "request_failed" not in (services.logs / f"{name}.log").read_text()


@pytest.fixture
def nothing_stays(services: Running, job_id: str) -> Iterator[None]:
    """The storage is as it was: no raw file, no `active/` object, no temporary file."""
    before = stored(services)
    yield
    services.until(lambda: stored(services) == before, f"the storage to hold only {sorted(before)}")


def stored(services: Running) -> set[Path]:
    # os.walk, since folders may go while they are walked.
    files = {
        Path(folder, name).relative_to(services.storage)
        for folder, _, names in os.walk(services.storage)
        for name in names
    }
    return {path for path in files if path.parts[0] in ("users", "active", "tombstones", ".tmp")}


def part(name: str, content: bytes, *, filename: str | None = None, headers: bytes = b"") -> bytes:
    file = f'; filename="{filename}"' if filename is not None else ""
    disposition = f'Content-Disposition: form-data; name="{name}"{file}'.encode()
    return b"--b\r\n" + disposition + b"\r\n" + headers + b"\r\n" + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--b--\r\n"


def post_form(services: Running, body: bytes, content_type: str = FORM) -> httpx.Response:
    return httpx.post(f"{services.url}/upload", content=body, headers={"Content-Type": content_type}, timeout=60)


def raw(port: int, *pieces: bytes, pause: float = 0.0, hang_up: bool = False, half_close: bool = False) -> bytes:
    """Send the pieces as they are; what came back until the other side closed or answered in full."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause)
        if hang_up:
            return b""
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
        return received


def request(method: str, path: bytes, body: bytes = b"", **headers: str | bytes) -> bytes:
    """A request as it goes over the wire; `Connection: close`, so that the answer has an end."""
    fields: dict[str, str | bytes] = {"Host": "localhost", "Connection": "close", "Content-Length": str(len(body))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [
        name.encode() + b": " + (value if isinstance(value, bytes) else value.encode("latin-1"))
        for name, value in fields.items()
    ]
    return b"\r\n".join([method.encode() + b" " + path + b" HTTP/1.1", *lines, b"", body])


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:200]
    return int(answer.split()[1])


def problem_of(answer: bytes) -> dict[str, object]:
    """The problem that a raw answer holds."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head, answer[:300]
    found: dict[str, object] = json.loads(body)
    assert found["status"] == status_of(answer)
    assert found["hint"]
    return found


def assert_problem(answer: httpx.Response, *statuses: int) -> None:
    assert answer.status_code in statuses, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["hint"]


# Multipart


@pytest.mark.usefixtures("nothing_stays")
def test_a_form_cut_off_anywhere_is_refused(services: Running, document: bytes) -> None:
    body = form(part("dpi", b"100"), part("file", b"%PDF-1.7 short", filename="a.pdf"), part("pages", b"1"))
    with httpx.Client(headers={"Content-Type": FORM}) as client:
        # To the last byte but those after which it is whole: the closing "--" and the line end.
        for end in range(len(body) - len(b"--\r\n") + 1):
            answer = client.post(f"{services.url}/upload", content=body[:end])
            assert answer.status_code == 400, (end, body[:end], answer.text)
            assert_problem(answer, 400)


@pytest.mark.usefixtures("nothing_stays")
@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/form-data; boundary=other",
        "multipart/form-data; boundary=" + "b" * 300,
        "multipart/form-data; boundary=" + "b" * 9_000,
        "multipart/form-data; boundary*" + "9" * 5_000 + "=b",
        "multipart/form-data; boundary*=idna''%ff",
        "multipart/mixed; boundary=b",
        "multipart/form-data; boundary=b; boundary=c; " + "a=b;" * 500,
    ],
    ids=lambda text: text[:45],
)
def test_a_form_without_a_usable_boundary_is_refused(services: Running, document: bytes, content_type: str) -> None:
    body = form(part("file", document, filename="a.pdf"))
    if content_type.startswith("multipart/form-data; boundary=b; "):
        body = b"other"
    assert_problem(post_form(services, body, content_type), 400)


@pytest.mark.usefixtures("nothing_stays")
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(form(part("file", b"%PDF-1.7", headers=b"X: " + b"y" * 100_000 + b"\r\n")), id="huge header"),
        pytest.param(form(part("file", b"%PDF-1.7", headers=b"X: y\r\n" * 10_000)), id="many headers"),
        pytest.param(form(part("file", b"%PDF-1.7", headers=b"no colon here\r\n")), id="no colon"),
        pytest.param(form(*[part(f"n{n}", b"") for n in range(10_000)]), id="10,000 tiny parts"),
        pytest.param(form(*[part("dpi", b"100")] * 5_000), id="one field 5,000 times"),
        pytest.param(form(part("file", b"%PDF-1.7", filename="a"), part("file", b"%PDF-1.7")), id="two files"),
        pytest.param(form(part("other", b"%PDF-1.7", filename="a.pdf")), id="no file"),
        pytest.param(form(part("file", b"", filename="a.pdf")), id="empty file"),
        pytest.param(form(), id="no part"),
        pytest.param(b"", id="no body"),
        pytest.param(bytes(5_000), id="zeros"),
        pytest.param(b"--b\r\n" * 1_000, id="only boundaries"),
        pytest.param(b"\r\n" * 10_000, id="only line ends"),
    ],
)
def test_a_nonsensical_form_is_refused(services: Running, body: bytes) -> None:
    assert_problem(post_form(services, body), 400)


@pytest.mark.usefixtures("nothing_stays")
@pytest.mark.parametrize(
    "disposition",
    [
        b"form-data; name=\"file\"; filename*=idna''%ff%fe",
        b"form-data; name=\"file\"; filename*=undefined''%ff",
        b'form-data; name="file\xff"; filename=a',
        b'form-data; name="fi\x00le"',
        b"form-data; filename=a",
        b"form-data",
        b';;;==="""',
        b"",
    ],
)
def test_a_part_whose_name_cannot_be_read_is_refused(services: Running, disposition: bytes) -> None:
    body = b"--b\r\nContent-Disposition: " + disposition + b"\r\n\r\n%PDF-1.7\r\n--b--\r\n"
    assert_problem(post_form(services, body), 400)


@pytest.mark.parametrize(
    ("disposition", "shown", "file"),
    [
        (b'form-data; name="file"; filename="../../a.pdf"', "a.pdf", "a.pdf"),
        (b'form-data; name="file"; filename="..\\\\..\\\\a.pdf"', "a.pdf", "a.pdf"),
        (b'form-data; name="file"; filename="a\x00\x07b.pdf"', "ab.pdf", "ab.pdf"),
        (b'form-data; name="file"; filename="\xff\xfe.pdf"', "\ufffd\ufffd.pdf", "\ufffd\ufffd.pdf"),
        (b"form-data; name=\"file\"; filename*=utf-7''+2AA-.pdf", ".pdf", "pdf"),
        (b"form-data; name=\"file\"; filename*=unicode_escape''%5cud800.pdf", ".pdf", "pdf"),
        (b'form-data; name="file"; filename="processing.json"', "processing.json", "upload_processing.json"),
        (b'form-data; name="file"; filename=".."', "..", "upload"),
        (b'form-data; name="file"; filename="' + b"a" * 3_000 + b'.pdf"', "a" * 255, "a" * 196 + ".pdf"),
        (b'form-data; name="file"', "upload", "upload"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_a_hostile_file_name_becomes_a_harmless_one(
    services: Running, document: bytes, disposition: bytes, shown: str, file: str
) -> None:
    body = b"--b\r\nContent-Disposition: " + disposition + b"\r\n\r\n" + document + b"\r\n--b--\r\n"
    answer = post_form(services, body)
    assert answer.status_code == 202, answer.text
    info = services.ended(answer.json()["job_id"])["file_info"]
    assert (info["filename"], info["raw_file"]) == (shown, file)


@pytest.mark.usefixtures("nothing_stays")
@pytest.mark.parametrize("name", ["pages", "dpi", "engine", "ocr"])
def test_no_field_may_be_given_twice(services: Running, document: bytes, name: str) -> None:
    file = part("file", document, filename="a.pdf")
    for body in (
        form(part(name, b"100"), part(name, b"100"), file),
        form(part(name, b""), file, part(name, b"1")),
    ):
        answer = post_form(services, body)
        assert_problem(answer, 400)
        assert f"two fields named {name}" in answer.json()["detail"]


def test_fields_count_before_and_after_the_file(services: Running, document: bytes) -> None:
    file = part("file", document, filename="a.pdf")
    for body in (
        form(part("dpi", b"99"), part("pages", b"1-"), file),
        form(file, part("pages", b"1-"), part("dpi", b"99")),
    ):
        answer = post_form(services, body)
        assert answer.status_code == 202
        job = services.ended(answer.json()["job_id"])
        assert job["options"] == {"dpi": 99, "pages": "1-", "engine": None, "ocr": "auto"}


@pytest.mark.usefixtures("nothing_stays")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dpi", b"0000000001" + b"9" * 6_000),
        ("dpi", b"000000100999"),
        ("dpi", b"\xff\xfe"),
        ("dpi", b"\x00100"),
        ("pages", b"1," * 9_000),
        ("pages", b"1-" + b"9" * 5_000),
        ("pages", b"\x00"),
        ("pages", b"1" * 20_001),
        ("engine", b"../../etc/passwd"),
        ("engine", b"os:system"),
        ("ocr", b"AUTO"),
        ("ocr", b"auto\x00"),
        ("ocr", b"force,text"),
    ],
)
def test_a_hostile_field_is_refused(services: Running, document: bytes, field: str, value: bytes) -> None:
    file = part("file", document, filename="a.pdf")
    assert_problem(post_form(services, form(file, part(field, value))), 422)
    assert_problem(post_form(services, form(part(field, value), file)), 422)


@pytest.mark.usefixtures("nothing_stays")
@pytest.mark.parametrize("where", ["preamble", "field", "epilogue"])
def test_bytes_beside_the_file_are_bounded_too(services: Running, document: bytes, where: str) -> None:
    junk = b"x" * (MAX_UPLOAD + 1_100_000)
    file = part("file", document, filename="a.pdf")
    body = {
        "preamble": b"\r\n" * (len(junk) // 2) + form(file),
        "field": form(part("junk", junk), file),
        "epilogue": form(file) + junk,
    }[where]
    assert_problem(post_form(services, body), 400, 413)


# Connections


@pytest.mark.usefixtures("nothing_stays")
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.97])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_hangs_up_in_mid_upload_leaves_nothing(services: Running, share: float, chunked: bool) -> None:
    body = form(
        part("dpi", b"100"), part("file", b"%PDF-1.7" + bytes(1_500_000), filename="a.pdf"), part("pages", b"1")
    )
    sent = body[: int(len(body) * share)]
    head = request("POST", b"/upload", Content_Type=FORM, Content_Length=str(len(body)))
    if chunked:
        head = head.replace(f"Content-Length: {len(body)}".encode(), b"Transfer-Encoding: chunked")
        sent = b"%x\r\n" % (len(body) - 1) + sent
    raw(services.web_port, head, sent, pause=0.2, hang_up=True)


@pytest.mark.usefixtures("nothing_stays")
def test_a_client_that_falls_silent_is_given_up(services: Running) -> None:
    body = form(part("file", b"%PDF-1.7" + bytes(50_000), filename="a.pdf"))
    head = request("POST", b"/upload", Content_Type=FORM, Content_Length=str(len(body)))
    answer = raw(services.web_port, head, body[:30_000])
    assert problem_of(answer)["title"] == "Upload stalled"


def test_a_slow_upload_arrives_while_others_are_answered(services: Running, document: bytes) -> None:
    body = form(part("file", document, filename="slow.pdf"))
    message = request("POST", b"/upload", body, Content_Type=FORM)
    size = len(message) // 40
    pieces = [message[at : at + size] for at in range(0, len(message), size)]
    with socket.create_connection(("127.0.0.1", services.web_port), timeout=30) as connection:
        for piece in pieces:
            connection.sendall(piece)
            assert services.get("/health").status_code == 200
        assert status_of(connection.recv(65536)) == 202


@pytest.mark.usefixtures("nothing_stays")
def test_a_wrong_content_length_is_noticed(services: Running) -> None:
    body = form(part("file", b"%PDF-1.7", filename="a.pdf"))
    port = services.web_port
    short = request("POST", b"/upload", body, Content_Type=FORM, Content_Length=str(len(body) - 20))
    assert status_of(raw(port, short)) == 400
    # Longer than what comes, and then the end: there is nobody left to answer.
    raw(port, request("POST", b"/upload", body, Content_Type=FORM, Content_Length=str(len(body) + 99)), half_close=True)
    for nonsense in ("-1", "a", "1e3", "9" * 30, "+5"):
        answer = raw(port, request("POST", b"/upload", body, Content_Type=FORM, Content_Length=nonsense))
        assert status_of(answer) in (400, 413)
    both = request("POST", b"/upload", body, Content_Type=FORM, Transfer_Encoding="chunked")
    assert status_of(raw(port, both)) == 400
    twice = request("POST", b"/upload", body, Content_Type=FORM).replace(b"Host:", b"Content-Length: 5\r\nHost:")
    assert status_of(raw(port, twice)) == 400


# Headers and addresses


@pytest.mark.parametrize(
    ("headers", "statuses"),
    [
        ({"X-User-Email": b"a@b\x00.org"}, {400}),
        ({"X-User-Email": b"\xff\xfe@\xff"}, {200, 400}),
        ({"X-User-Email": b"a" * 15_000 + b"@b"}, {400}),
        ({"X-User-Email": b"../../x"}, {400}),
        ({"Origin": b"http://["}, {403}),
        ({"Origin": b"http://]:99999"}, {403}),
        ({"Origin": b"\xff\x80"}, {403}),
        ({"Origin": b"null"}, {403}),
        ({"Host": b"127.0.0.1.evil.example"}, {403}),
        ({"Host": b"[::1"}, {403}),
        ({"Host": b"\xff"}, {400, 403}),
        ({"X-N\x00me": b"1"}, {400}),
        ({"Accept": b"\xff" * 1_000}, {200}),
        ({"X-Long": b"y" * 200_000}, {431}),
        ({"Content-Type": b"a/b;" + b";" * 5_000}, {200}),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_hostile_headers_have_a_clear_answer(services: Running, headers: dict[str, bytes], statuses: set[int]) -> None:
    answer = raw(services.web_port, request("GET", b"/api/jobs", **headers))
    assert status_of(answer) in statuses
    if status_of(answer) == 403:
        problem_of(answer)


def test_the_worker_answers_only_under_its_own_names(services: Running) -> None:
    for host, status in ((b"localhost", 200), (b"[::1]:7800", 200), (b"evil.example:7800", 403), (b"\xff", 403)):
        answer = raw(services.worker_port, request("GET", b"/health", Host=host))
        assert status_of(answer) in (status, 400 if status == 403 else status)


def test_a_repeated_identity_header_is_refused(services: Running) -> None:
    twice = request("GET", b"/api/jobs", X_User_Email=b"a@b.org").replace(b"Host:", b"X-User-Email: c@d.org\r\nHost:")
    answer = raw(services.web_port, twice)
    assert status_of(answer) == 400
    problem_of(answer)


def test_a_repeated_token_of_the_queue_is_refused(services: Running, token: dict[str, str]) -> None:
    twice = "".join(f"X-Internal-Token: {value}\r\n" for value in (token["X-Internal-Token"], "other")).encode()
    for port, path in ((services.web_port, b"/internal/sweep"), (services.worker_port, b"/process-ocr-batch")):
        answer = raw(port, request("POST", path).replace(b"Host:", twice + b"Host:"))
        assert status_of(answer) == 400
        problem_of(answer)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("Upload-Metadata", (b"filename YQ==", b"filename Yg==")),
        ("Upload-Metadata", (b"filename YQ==,filename Yg==",)),
        ("Upload-Length", (b"9", b"10")),
        ("Tus-Resumable", (b"1.0.0", b"1.0.0")),
    ],
)
def test_a_repeated_header_of_a_resumable_upload_is_refused(
    services: Running, nothing_stays: None, name: str, values: tuple[bytes, ...]
) -> None:
    given = {"Tus-Resumable": (b"1.0.0",), "Upload-Length": (b"9",), name: values}
    lines = b"".join(key.encode() + b": " + value + b"\r\n" for key, each in given.items() for value in each)
    answer = raw(services.web_port, request("POST", b"/api/uploads").replace(b"Host:", lines + b"Host:"))
    assert status_of(answer) == 400
    problem_of(answer)


TRAVERSALS = [
    b"..",
    b"%2e%2e",
    b"%252e%252e",
    b"..%2f..%2fsystem%2finternal_token",
    b"..%252f..%252fsystem%252finternal_token",
    b"..%5c..%5csystem%5cinternal_token",
    b"%2fetc%2fpasswd",
    b"%c0%ae%c0%ae%c0%af",
    b"%00",
    b"page_001.png%00",
    b"%ff%fe",
    b"%ed%a0%80",
    b"%",
    b"%zz",
    b"a" * 6_000,
    b"~",
    b"-1",
    b"9" * 6_000,
]


@pytest.mark.parametrize("hostile", TRAVERSALS, ids=lambda value: value[:30].decode())
def test_no_path_leads_out_of_the_tree(services: Running, job_id: str, token: dict[str, str], hostile: bytes) -> None:
    job = services.status(job_id)
    owner, mine = job["user_hash"].encode(), job_id.encode()
    addresses = [
        *[
            b"/storage/%s/%s/%s" % found
            for found in ((hostile, mine, b"a"), (owner, hostile, b"a"), (owner, mine, hostile))
        ],
        b"/api/jobs/%s/status" % hostile,
        b"/api/v1/jobs/%s/status" % hostile,
        b"/api/jobs/%s/result" % hostile,
        b"/api/jobs/%s/pages/1" % hostile,
        b"/api/jobs/%s/pages/%s" % (mine, hostile),
        b"/static/%s" % hostile,
        b"/%s" % hostile,
    ]
    for address in addresses:
        answer = raw(services.web_port, request("GET", address))
        assert status_of(answer) in (403, 404), (address[:80], answer[:300])
        problem_of(answer)
        assert token["X-Internal-Token"].encode() not in answer
    for method, address in (
        ("DELETE", b"/api/jobs/%s"),
        ("POST", b"/api/jobs/%s/cancel"),
        ("POST", b"/api/jobs/%s/retry"),
    ):
        answer = raw(services.web_port, request(method, address % hostile))
        assert status_of(answer) == 404, (method, answer[:300])
    address = b"/internal/queues/%s/tasks" % hostile
    body = b'{"name":"x","task":{"session_id":"x"}}'
    answer = raw(services.web_port, request("POST", address, body, **token))
    assert status_of(answer) == 404
    assert services.status(job_id)["status"] == "completed"


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("bytes=0-0", 206),
        ("bytes=" + "9" * 9_000 + "-", 416),
        ("bytes=-" + "9" * 9_000, 200),
        ("bytes=0-" + "9" * 9_000, 200),
        ("bytes=" + "0" * 9_000 + "5-" + "0" * 100 + "6", 206),
        ("bytes=-0", 416),
        ("bytes=5-4", 416),
        ("bytes=--5", 200),
        ("bytes=-", 200),
        ("bytes=a-b", 200),
        ("bytes=0-1,2-3," + "4-5," * 3_000, 200),
        ("bits=0-1", 200),
        ("bytes=0x10-", 200),
        ("bytes=\u00b2-", 200),
        ("", 200),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_nonsensical_range_gets_the_file_or_416(services: Running, job_id: str, given: str, status: int) -> None:
    job = services.status(job_id)
    address = f"/storage/{job['user_hash']}/{job_id}/page_001.png".encode()
    answer = raw(services.web_port, request("GET", address, Range=given))
    assert status_of(answer) == status
    if status == 416:
        problem_of(answer)


def test_a_huge_if_none_match_matches_nothing(services: Running, job_id: str) -> None:
    for address in (f"/api/jobs/{job_id}/status",):
        answer = raw(services.web_port, request("GET", address.encode(), If_None_Match='"x",' * 3_500))
        assert status_of(answer) == 200


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=0000000019999", 422),
        ("limit=000000001" + "9" * 6_000, 422),
        ("limit=-1", 422),
        ("limit=%C2%B2", 422),
        ("limit=%00", 422),
        ("cursor=..%2f..", 422),
        ("cursor=%00", 422),
        ("cursor=" + "f" * 6_000, 422),
        ("limit=1&limit=2&limit=3", 200),
        ("&&&===&%zz=%ff", 200),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_hostile_query_has_a_clear_answer(services: Running, query: str, status: int) -> None:
    answer = raw(services.web_port, request("GET", b"/api/jobs?" + query.encode()))
    assert status_of(answer) == status
    if status == 422:
        problem_of(answer)


# JSON bodies


@pytest.mark.parametrize(
    "body",
    [
        NESTED,
        b"[" * 500_000,
        b'{"pages":' + NESTED + b"}",
        b'{"more":' + NESTED + b"}",
        b'{"pages":[' + b"9" * 5_000 + b"]}",
        b'{"pages":[-1]}',
        b'{"pages":[0]}',
        b'{"pages":[' + b"9" * 300 + b"]}",
        b'{"pages":[1e400]}',
        b'{"pages":"1"}',
        b'{"pages":[1,null]}',
        b"\xff\xfe\x00",
        b"\x00",
        b'{"pages":[1]',
        b'{"\\ud800":1}',
    ],
    ids=lambda body: repr(body[:30]),
)
def test_a_hostile_retry_is_refused(services: Running, job_id: str, body: bytes) -> None:
    answer = httpx.post(f"{services.url}/api/jobs/{job_id}/retry", content=body)
    assert_problem(answer, 409, 422)
    assert services.status(job_id)["status"] == "completed"


def internal(services: Running) -> list[str]:
    worker = f"http://127.0.0.1:{services.worker_port}"
    return [
        f"{services.url}/internal/extract",
        f"{services.url}/internal/queues/ocr-processing/tasks",
        f"{worker}/process-ocr-batch",
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        NESTED,
        b'{"session_id":"a","user_email":"","more":' + NESTED + b"}",
        b'{"name":"x","task":{"session_id":"a","more":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"}}",
        b'{"session_id":"a","chain":' + b"9" * 30 + b"}",
        b'{"name":"x","task":{"session_id":"a","chain":' + b"9" * 30 + b"}}",
        b'{"session_id":"\\ud800"}',
        b'{"session_id":"\xff"}',
        b'{"session_id":["a"]}',
    ],
    ids=lambda body: repr(body[:40]),
)
def test_a_hostile_task_is_refused(services: Running, token: dict[str, str], body: bytes) -> None:
    for address in internal(services):
        assert_problem(httpx.post(address, content=body, headers=token), 422)
        assert_problem(httpx.post(address, content=body), 401)


@pytest.mark.parametrize(("size", "admitted"), [(MAX_JSON - 1, True), (MAX_JSON, True), (MAX_JSON + 1, False)])
def test_the_limit_of_json_bodies_holds_to_the_byte(
    services: Running, job_id: str, token: dict[str, str], size: int, admitted: bool
) -> None:
    task = b'{"session_id":"%s","user_email":""}' % UNKNOWN.encode()
    for address in internal(services):
        body = b'{"name":"n%d","task":%s}' % (size, task) if "queues" in address else task
        answer = httpx.post(address, content=body.ljust(size), headers=token)
        if admitted:
            assert answer.status_code in (200, 201), answer.text
        else:
            assert_problem(answer, 413)
    answer = httpx.post(f"{services.url}/api/jobs/{job_id}/retry", content=b'{"pages":[7]}'.ljust(size))
    assert_problem(answer, 409 if admitted else 413)


# What stands in the storage


@pytest.mark.parametrize(
    "torn",
    [b"", b"{", b"\xff\xfe", b'{"job_id":"x"}', b'{"a":' + NESTED + b"}"],
    ids=["empty", "cut off", "no text", "no job", "nested"],
)
def test_a_torn_record_is_made_anew_and_can_be_deleted(services: Running, document: bytes, torn: bytes) -> None:
    answer = httpx.post(f"{services.url}/upload", files={"file": ("one.pdf", document)})
    found = answer.json()["job_id"]
    folder = services.storage / "users" / services.ended(found)["user_hash"] / found
    services.until(lambda: not list(services.storage.glob(f"active/*/{found}")), "the job to retire")
    (folder / "processing.json").write_bytes(torn)

    assert services.get("/api/jobs").status_code == 200
    # The record is made anew from the evidence beside it.
    assert services.ended(found)["status"] == "completed"
    assert services.get(f"/api/jobs/{found}/pages/1").status_code == 200
    assert services.get(f"/api/jobs/{found}/result").status_code == 200
    (folder / "processing.json").write_bytes(torn)
    assert_problem(httpx.delete(f"{services.url}/api/jobs/{found}", headers={"X-User-Email": "a@b.org"}), 404)
    assert httpx.delete(f"{services.url}/api/jobs/{found}").status_code == 204
    assert not folder.exists()
    assert services.get(f"/api/jobs/{found}/status").status_code == 404


def test_a_job_of_which_nothing_is_whole_says_so_and_can_be_deleted(services: Running, document: bytes) -> None:
    answer = httpx.post(f"{services.url}/upload", files={"file": ("one.pdf", document)})
    found = answer.json()["job_id"]
    folder = services.storage / "users" / services.ended(found)["user_hash"] / found
    services.until(lambda: not list(services.storage.glob(f"active/*/{found}")), "the job to retire")
    for name in ("intake.json", "processing.json"):
        (folder / name).write_bytes(b'{"a":' + NESTED + b"}")
    assert_problem(services.get(f"/api/jobs/{found}/status"), 409)
    assert httpx.delete(f"{services.url}/api/jobs/{found}").status_code == 204
    assert not folder.exists()


def test_a_torn_result_of_a_page_is_told(services: Running, document: bytes) -> None:
    answer = httpx.post(f"{services.url}/upload", files={"file": ("one.pdf", document)})
    found = answer.json()["job_id"]
    folder = services.storage / "users" / services.ended(found)["user_hash"] / found
    (folder / "page_001_result.json").write_bytes(b'{"page_no":1,')
    assert_problem(services.get(f"/api/jobs/{found}/pages/1"), 409)
    assert services.get(f"/api/jobs/{found}/result").status_code == 200


def test_a_torn_object_of_one_job_does_not_stop_the_sweep_of_others(tmp_path: Path, document: bytes) -> None:
    with running(tmp_path, script=Script(), UPLOAD_STALL_SECONDS="5") as services:
        answer = httpx.post(f"{services.url}/upload", files={"file": ("one.pdf", document)})
        first = services.ended(answer.json()["job_id"])
        services.kill("worker")
        waiting = httpx.post(f"{services.url}/upload", files={"file": ("one.pdf", document)}).json()["job_id"]
        services.until(lambda: services.status(waiting)["current_step"] == "extraction_complete", "the page's image")
        services.kill("web")
        # The ids sort by time, so the sweep meets the torn job first.
        torn = services.storage / "active" / first["user_hash"] / first["job_id"]
        torn.parent.mkdir(parents=True, exist_ok=True)
        torn.write_bytes(b'{"a":' + NESTED + b"}")
        folder = services.storage / "users" / first["user_hash"] / first["job_id"]
        (folder / "batches" / "combine.json").unlink()
        record = json.loads((folder / "processing.json").read_bytes())
        record |= {"status": "processing", "updated_at": "2020-01-01T00:00:00Z"}
        (folder / "processing.json").write_text(json.dumps(record))
        services.start("web")
        services.start("worker")
        assert services.ended(waiting)["status"] == "completed"
        assert services.ended(first["job_id"])["status"] == "completed"
