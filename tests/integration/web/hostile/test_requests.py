"""Requests that no honest client sends: each has a clear answer, leaves nothing behind, and the service goes on."""

import socket

import httpx
import pytest

from tests.integration.web.hostile.wire import (
    FORM,
    NESTED,
    assert_problem,
    form,
    part,
    problem_of,
    raw,
    request,
    status_of,
)
from tests.running import Running

UNKNOWN = "0" * 32
MAX_JSON = 1_000_000


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
    with socket.create_connection(("127.0.0.1", services.web_port), timeout=30) as connection:
        connection.sendall(head + sent)
        services.until(lambda: list(services.storage.glob("active/*/*")), "the upload to begin")
        if share:
            services.until(lambda: list(services.storage.glob(".tmp/*")), "the file to arrive")


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
        ("status=%00", 422),
        ("status=" + "," * 6_000, 422),
        ("q=" + "a" * 6_000, 422),
        ("q=%00%2f..%ff(((((", 200),
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
        b'{"pages":[1],"engine":' + NESTED + b"}",
        b'{"pages":[1],"engine":"' + b"e" * 5_000 + b'"}',
        b'{"pages":[1],"engine":"\\u0000"}',
        b'{"pages":[1],"engine":"../tesseract"}',
        b'{"pages":[1],"engine":"os:system"}',
        b'{"pages":[1],"ocr":{}}',
        b'{"pages":[1],"ocr":"FORCE"}',
        b'{"pages":[1],"dpi":1e400}',
        b'{"pages":[1],"dpi":' + b"9" * 300 + b"}",
        b'{"pages":[1],"dpi":-150}',
        b'{"pages":[1],"dpi":true}',
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


@pytest.mark.parametrize(
    "run", ["0", "-1", "9" * 300, "1.0", "%00", "../1", "1_run_1", "\N{ARABIC-INDIC DIGIT ONE}", "2"]
)
def test_a_hostile_run_of_a_page_is_refused(services: Running, job_id: str, run: str) -> None:
    assert_problem(services.get(f"/api/jobs/{job_id}/pages/1?run={run}"), 404, 422)


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
