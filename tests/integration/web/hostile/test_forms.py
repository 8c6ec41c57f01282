"""Forms that no honest client sends: each has a clear answer, and leaves nothing behind."""

import httpx
import pytest

from tests.integration.web.hostile.conftest import MAX_UPLOAD
from tests.integration.web.hostile.wire import FORM, assert_problem, form, part
from tests.running import Running


def post_form(services: Running, body: bytes, content_type: str = FORM) -> httpx.Response:
    return httpx.post(f"{services.url}/upload", content=body, headers={"Content-Type": content_type}, timeout=60)


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
        options = job["options"]
        assert (options["dpi"], options["pages"], options["engine"], options["ocr"]) == (99, "1-", None, "auto")


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
