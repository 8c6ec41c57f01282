"""A user's journey through the running services, over HTTP."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pymupdf
import pytest

from libs.jobstate.job import REPAIRED
from tests.documents import pdf
from tests.running import Running, running
from tests.scripted import Script, text_of


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> object:
    with running(tmp_path_factory.mktemp("journey"), script=Script(fail=(11,), blank=(12,))) as found:
        yield found


def test_pages_of_the_result_are_the_pages_of_the_file_in_order(services: Running, tmp_path: Path) -> None:
    job_id = services.upload(pdf(tmp_path / "ten.pdf", 10))
    job = services.ended(job_id)
    assert (job["status"], job["percent"], job["current_step"]) == ("completed", 100, "completed")
    expected = []
    for number in range(1, 11):
        image = services.get(f"/storage/{storage_hash(services, job_id)}/{job_id}/page_{number:03d}.png").content
        assert services.get(f"/api/jobs/{job_id}/pages/{number}").text == text_of(number, image)
        expected.append(f"<!-- page {number} -->\n{text_of(number, image)}\n")
    assert services.get(f"/api/jobs/{job_id}/result").text == "\n".join(expected)


def storage_hash(services: Running, job_id: str) -> str:
    (folder,) = services.storage.glob(f"users/*/{job_id}")
    return folder.parent.name


def test_failed_and_blank_pages_are_marked_and_the_job_is_partial(services: Running, tmp_path: Path) -> None:
    job_id = services.upload(pdf(tmp_path / "twelve.pdf", 12), pages="10-")
    job = services.ended(job_id)
    assert job["status"] == "partial"
    assert job["error"] == "1 of 3 pages could not be read."
    assert list(job["pages"]) == ["10", "11", "12"]
    result = services.get(f"/api/jobs/{job_id}/result").text
    assert "<!-- page 11 failed: Told to fail. -->\n" in result
    assert result.endswith("<!-- page 12 blank -->\n")
    failed = services.get(f"/api/jobs/{job_id}/pages/11")
    assert failed.status_code == 409
    assert failed.json()["detail"] == "Told to fail."
    assert services.get(f"/api/jobs/{job_id}/pages/3").status_code == 404
    plain = services.get(f"/api/jobs/{job_id}/result?format=txt").text
    assert plain.split("\f")[1:] == ["[page 11 failed: Told to fail.]\n", "\n"]


def test_page_result_comes_as_markdown_json_or_html(services: Running, tmp_path: Path) -> None:
    job_id = services.upload(pdf(tmp_path / "one.pdf", 1))
    services.ended(job_id)
    address = f"/api/jobs/{job_id}/pages/1"
    assert services.get(address).headers["content-type"] == "text/markdown; charset=utf-8"
    found = services.get(address, Accept="application/json").json()
    assert found["engine"] == "scripted"
    assert found["lines"][0]["confidence"] == 1.0
    assert found["text"] == services.get(address).text
    assert services.get(address, Accept="text/html").text.startswith('<p data-block="b1"><span data-line="0">Page 1 ')


def test_two_uploads_at_once_with_one_name_are_two_jobs(services: Running, tmp_path: Path) -> None:
    path = pdf(tmp_path / "same.pdf", 2)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: services.upload(path), range(2))
    assert first != second
    assert services.ended(first)["status"] == services.ended(second)["status"] == "completed"


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("../../etc/passwd", "passwd"),
        ("processing.json", "upload_processing.json"),
        ("PAGE_001.PNG", "upload_PAGE_001.PNG"),
        ("\N{PILE OF POO}" * 300 + ".pdf", None),
        ("C:\\scans\\letter.pdf", "letter.pdf"),
    ],
)
def test_any_file_name_is_stored_safely(services: Running, tmp_path: Path, name: str, stored: str | None) -> None:
    content = pdf(tmp_path / "x.pdf", 1).read_bytes()
    answer = httpx.post(f"{services.url}/upload", files={"file": (name, content)})
    assert answer.status_code == 202
    job = services.ended(answer.json()["job_id"])
    assert job["status"] == "completed"
    raw_file = job["file_info"]["raw_file"]
    assert stored is None or raw_file == stored
    assert len(raw_file.encode()) <= 200
    (found,) = services.storage.glob(f"users/*/{job['job_id']}/{raw_file}")
    assert found.read_bytes() == content


def test_job_of_another_user_cannot_be_told_from_one_that_never_was(services: Running, tmp_path: Path) -> None:
    job_id = services.upload(pdf(tmp_path / "mine.pdf", 1), user="Owner@example.org")
    for address in ("status", "pages/1", "result"):
        foreign = services.get(f"/api/jobs/{job_id}/{address}", **{"X-User-Email": "other@example.org"})
        unknown = services.get(f"/api/jobs/{'0' * 32}/{address}")
        malformed = services.get(f"/api/jobs/..%2f..%2f/{address}")
        assert foreign.status_code == unknown.status_code == 404
        assert foreign.content == unknown.content
        assert malformed.status_code == 404
    assert services.get("/api/jobs", **{"X-User-Email": "other@example.org"}).json()["jobs"] == []
    # The case of an address is ignored.
    own = services.get("/api/jobs", **{"X-User-Email": "owner@EXAMPLE.org"}).json()["jobs"]
    assert [job["job_id"] for job in own] == [job_id]


def test_file_of_another_user_is_refused_whether_or_not_it_exists(services: Running, tmp_path: Path) -> None:
    job_id = services.upload(pdf(tmp_path / "mine.pdf", 1), user="owner@example.org")
    user_hash = storage_hash(services, job_id)
    for name in ("mine.pdf", "nothing.pdf"):
        assert services.get(f"/storage/{user_hash}/{job_id}/{name}").status_code == 403
    own = {"X-User-Email": "owner@example.org"}
    whole = services.get(f"/storage/{user_hash}/{job_id}/mine.pdf", **own)
    assert whole.headers["content-type"] == "application/pdf"
    assert whole.headers["content-disposition"].startswith("attachment")
    part = services.get(f"/storage/{user_hash}/{job_id}/mine.pdf", Range="bytes=5-9", **own)
    assert (part.status_code, part.content) == (206, whole.content[5:10])
    assert part.headers["content-range"] == f"bytes 5-9/{len(whole.content)}"
    tail = services.get(f"/storage/{user_hash}/{job_id}/mine.pdf", Range="bytes=-4", **own)
    assert tail.content == whole.content[-4:]
    beyond = services.get(f"/storage/{user_hash}/{job_id}/mine.pdf", Range="bytes=99999999-", **own)
    assert beyond.status_code == 416
    same = services.get(f"/storage/{user_hash}/{job_id}/mine.pdf", **{"If-None-Match": whole.headers["etag"]}, **own)
    assert (same.status_code, same.content) == (304, b"")
    assert services.get(f"/storage/{user_hash}/{job_id}/nothing.pdf", **own).status_code == 404


@pytest.mark.parametrize(
    ("files", "data", "status", "title"),
    [
        ({}, {"other": "x"}, 400, "No file"),
        ({"file": ("empty.pdf", b"")}, {}, 400, "Empty file"),
        ({"file": ("letter.pdf", b"Dear reader, this is text. " * 200)}, {}, 415, "Unsupported file"),
        ({"file": ("page.pdf", b"<html><body>%PDF</body></html>")}, {}, 415, "Unsupported file"),
        ({"file": ("a.pdf", b"%PDF-1.7 ")}, {"pages": "3-1"}, 422, "Bad field"),
        ({"file": ("a.pdf", b"%PDF-1.7 ")}, {"dpi": "71"}, 422, "Bad field"),
        ({"file": ("a.pdf", b"%PDF-1.7 ")}, {"dpi": "401"}, 422, "Bad field"),
        ({"file": ("a.pdf", b"%PDF-1.7 ")}, {"engine": "abacus"}, 422, "Bad field"),
        ({"file": ("a.pdf", b"%PDF-1.7 ")}, {"ocr": "always"}, 422, "Bad field"),
    ],
)
def test_bad_upload_is_refused_with_a_hint_and_leaves_nothing_behind(
    services: Running, files: dict[str, tuple[str, bytes]], data: dict[str, str], status: int, title: str
) -> None:
    user = {"X-User-Email": f"bad-{status}-{len(data)}@example.org"}
    before = sorted(services.storage.glob("users/*/*"))
    answer = httpx.post(f"{services.url}/upload", files=files or {"unused": ("x", b"y")}, data=data, headers=user)
    assert (answer.status_code, answer.json()["title"]) == (status, title)
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json()) >= {"type", "title", "status", "detail", "hint"}
    assert sorted(services.storage.glob("users/*/*")) == before
    assert services.get("/api/jobs", **user).json()["jobs"] == []


@pytest.mark.parametrize("kind", ["truncated", "encrypted"])
def test_document_that_cannot_be_opened_fails_with_its_reason(services: Running, tmp_path: Path, kind: str) -> None:
    path = broken_pdf(tmp_path, kind)
    job = services.ended(services.upload(path))
    assert (job["status"], job["current_step"]) == ("failed", "extraction_failed")
    assert "upload it again" in job["error"]
    services.until(lambda: not list(services.storage.glob(f"active/*/{job['job_id']}")), "the job to be retired")
    result = services.get(f"/api/jobs/{job['job_id']}/result")
    assert (result.status_code, result.json()["job_status"]) == (409, "failed")


def test_pages_that_were_cut_off_fail_and_the_job_says_that_the_file_is_damaged(
    services: Running, tmp_path: Path
) -> None:
    whole = pdf(tmp_path / "whole.pdf", 10)
    cut = tmp_path / "cut.pdf"
    with pymupdf.open(whole) as document:
        content = document.tobytes(garbage=3, clean=True)
    cut.write_bytes(content[: content.rindex(b"stream", 0, len(content) * 7 // 10)])
    job = services.ended(services.upload(cut))
    assert job["status"] == "partial"
    assert job["file_info"]["repaired"]
    assert job["warnings"] == [REPAIRED]
    failed = [page for page in job["pages"].values() if page["status"] == "failed"]
    assert failed
    assert all("content is missing" in page["error"] for page in failed)
    assert not any(page.get("blank") for page in job["pages"].values())


def broken_pdf(folder: Path, kind: str) -> Path:
    path = pdf(folder / f"{kind}.pdf", 3)
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:60])
        return path
    locked = folder / "locked.pdf"
    with pymupdf.open(path) as document:
        document.save(locked, encryption=pymupdf.mupdf.PDF_ENCRYPT_AES_256, user_pw="secret", owner_pw="owner")
    return locked


def test_thousand_pages_are_named_and_counted_right(services: Running, tmp_path: Path) -> None:
    job_id = services.upload(pdf(tmp_path / "thousand.pdf", 1000), pages="998-", dpi="72")
    job = services.ended(job_id)
    assert job["file_info"]["total_pages"] == 1000
    assert job["pages"]["1000"]["image"] == "page_1000.png"
    assert job["pages"]["998"]["image"] == "page_998.png"
    assert job["status"] == "completed"


def test_failed_pages_are_read_again_on_request_and_only_those(services: Running, tmp_path: Path) -> None:
    job_id = services.upload(pdf(tmp_path / "eleven.pdf", 11), pages="9-11")
    assert services.ended(job_id)["status"] == "partial"
    before = services.read_counts()
    again = httpx.post(f"{services.url}/api/jobs/{job_id}/retry")
    assert (again.status_code, again.json()["run"]) == (202, 2)
    job = services.ended(job_id)
    assert (job["run"], job["status"]) == (2, "partial")
    after = services.read_counts()
    assert {n: after[n] - before.get(n, 0) for n in after if after[n] != before.get(n, 0)} == {11: 1}
    named = httpx.post(f"{services.url}/api/jobs/{job_id}/retry", content=json.dumps({"pages": [9]}))
    assert named.status_code == 202
    assert services.ended(job_id)["run"] == 3
    wrong = httpx.post(f"{services.url}/api/jobs/{job_id}/retry", content=json.dumps({"pages": [1]}))
    assert (wrong.status_code, wrong.json()["title"]) == (409, "Nothing to retry")


def test_deleted_job_leaves_nothing_but_its_tombstone(services: Running, tmp_path: Path) -> None:
    job_id = services.upload(pdf(tmp_path / "gone.pdf", 2))
    services.ended(job_id)
    assert httpx.delete(f"{services.url}/api/jobs/{job_id}").status_code == 204
    assert services.get(f"/api/jobs/{job_id}/status").status_code == 404
    left = [path for path in services.storage.rglob(f"*{job_id}*") if "tombstones" not in path.parts]
    assert left == []


def test_cancelled_job_stops_within_two_pages(tmp_path: Path) -> None:
    with running(tmp_path, script=Script(seconds=1.2)) as services:
        job_id = services.upload(pdf(tmp_path / "long.pdf", 20))
        services.until(lambda: services.read_counts(), "the first page")
        assert httpx.post(f"{services.url}/api/jobs/{job_id}/cancel").status_code == 202
        seen = len(services.read_counts())
        assert services.status(job_id)["status"] == "cancelled"
        services.until(lambda: not list(services.storage.glob(f"active/*/{job_id}")), "the job to be retired")
        # Another job is read after it, so the worker has let go of the first.
        other = services.upload(pdf(tmp_path / "short.pdf", 1))
        services.ended(other)
        assert len(services.read_counts()) <= seen + 2


def test_request_for_another_host_or_from_another_origin_is_refused(services: Running) -> None:
    assert services.get("/api/jobs", Host="evil.example").status_code == 403
    assert services.get("/api/jobs", Origin="http://evil.example").status_code == 403
    own = services.get("/api/jobs", Origin=services.url)
    assert own.status_code == 200


def test_internal_routes_take_only_the_token(services: Running) -> None:
    body = {"session_id": "0" * 32, "user_email": ""}
    for address in (
        f"{services.url}/internal/extract",
        f"{services.url}/internal/queues/ocr-processing/tasks",
        f"http://127.0.0.1:{services.worker_port}/process-ocr-batch",
    ):
        assert httpx.post(address, json=body).status_code == 401
        assert httpx.post(address, json=body, headers={"X-Internal-Token": "guess"}).status_code == 401
    token = (services.storage / "system" / "internal_token").read_text()
    answer = httpx.post(
        f"http://127.0.0.1:{services.worker_port}/process-ocr-batch",
        json=body,
        headers={"X-Internal-Token": token},
    )
    assert (answer.status_code, answer.json()["status"]) == (200, "unknown_session")


def test_no_address_and_no_text_reaches_the_log(services: Running, tmp_path: Path) -> None:
    job_id = services.upload(pdf(tmp_path / "private.pdf", 1), user="secret.person@example.org")
    services.until(
        lambda: services.status(job_id, user="secret.person@example.org")["status"] == "completed", "the end"
    )
    token = (services.storage / "system" / "internal_token").read_text()
    logs = "".join(path.read_text() for path in [*services.logs.glob("*.log"), *services.storage.glob("logs/*.log")])
    assert job_id in logs
    for secret in ("secret.person", "Page 1", token, "private.pdf"):
        assert secret not in logs
