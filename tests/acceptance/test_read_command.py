"""`gnosis-ocr read` as a person runs it: many documents, pipes, interruptions."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pymupdf
import pytest

from tests import ROOT
from tests.documents import pdf
from tests.running import Running, running
from tests.scripted import Script


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Services whose engine fails on third pages, and doubts fifth ones."""
    folder = tmp_path_factory.mktemp("services")
    with running(folder, script=Script(fail=(3,), trust={5: 0.4}), ACTIVE_JOBS_PER_USER="50") as services:
        yield services


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    """The command's, with a state and a temporary folder of its own."""
    (tmp_path / "temporary").mkdir(exist_ok=True)
    path = os.pathsep.join((str(ROOT), os.environ["PYTHONPATH"]))
    own = {"PYTHONPATH": path, "GNOSIS_STATE": str(tmp_path / "state"), "TMPDIR": str(tmp_path / "temporary")}
    return {**os.environ, "GNOSIS_URL": "", **own, **more}


def command(tmp_path: Path, *arguments: str, stdin: bytes = b"", **more: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "services.local", "read", *arguments],
        cwd=tmp_path,
        env=environment(tmp_path, **more),
        input=stdin,
        capture_output=True,
        timeout=280,
    )


def on(services: Running) -> tuple[str, str]:
    return "--server", services.url


def jobs_of(services: Running) -> list[str]:
    return [job["job_id"] for job in services.get("/api/jobs?limit=100").json()["jobs"]]


def test_a_document_goes_from_a_pipe_to_a_pipe_and_leaves_nothing_in_the_service(
    services: Running, tmp_path: Path
) -> None:
    before = jobs_of(services)
    content = pdf(tmp_path / "two.pdf", 2).read_bytes()
    done = command(tmp_path, "-", "--ocr", "force", *on(services), stdin=content)

    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.startswith(b"<!-- page 1 -->\nPage 1 ")
    assert f"using the Gnosis OCR at {services.url}" in done.stderr.decode()
    assert jobs_of(services) == before
    assert list((tmp_path / "temporary").iterdir()) == []

    quiet = command(tmp_path, "two.pdf", "--pages", "2", "--quiet", "--keep", *on(services))
    assert (quiet.returncode, quiet.stderr) == (0, b"")
    assert quiet.stdout.startswith(b"<!-- page 2 -->")
    kept = jobs_of(services)
    assert len(kept) == len(before) + 1
    again = command(tmp_path, "two.pdf", "--pages", "2", "--quiet", *on(services))
    assert again.stdout == quiet.stdout
    assert jobs_of(services) == kept, "a job that was kept is read from again, and stays"


@pytest.mark.slow
def test_an_encrypted_document_is_read_with_its_password_which_is_stored_nowhere(
    services: Running, tmp_path: Path
) -> None:
    with pymupdf.open(pdf(tmp_path / "open.pdf", 1)) as document:
        document.save(tmp_path / "locked.pdf", encryption=pymupdf.mupdf.PDF_ENCRYPT_AES_256, user_pw="Zq7pLkW9")
    (tmp_path / "password.txt").write_text("Zq7pLkW9\n")
    wrong = command(tmp_path, "locked.pdf", "--password=other", *on(services))
    assert wrong.returncode == 1
    assert "The password does not open the PDF" in wrong.stderr.decode()

    right = command(tmp_path, "locked.pdf", "open.pdf", "-o", "out", "--password-file", "password.txt", *on(services))
    assert right.returncode == 0, right.stderr.decode()
    assert (tmp_path / "out" / "locked.md").read_text().startswith("<!-- page 1 -->\nPage 1 ")
    kept = command(tmp_path, "locked.pdf", "-o", "out", "--password=Zq7pLkW9", "--keep", *on(services))
    assert kept.returncode == 0
    state = [path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert state
    assert not any(b"Zq7pLkW9" in content for content in state)


@pytest.mark.slow
def test_several_documents_have_a_table_results_of_every_form_and_a_last_line(
    services: Running, tmp_path: Path
) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name, pages in (("one.pdf", 1), ("deep/five.pdf", 5)):
        pdf(tmp_path / "in" / name, pages)
    (tmp_path / "in" / "broken.pdf").write_text("plain words")
    done = command(tmp_path, "in", "--output", "out", "--format", "md,json,zip", "--ocr", "force", *on(services))

    assert done.returncode == 3
    assert done.stdout == b""
    written = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert written == {f"{name}.{form}" for name in ("one", "deep/five") for form in ("md", "json", "zip")}
    lines = done.stderr.decode().splitlines()
    assert any("in/broken.pdf: The content is neither a PDF nor a supported image" in line for line in lines)
    row = next(line for line in lines if line.split()[:3] == ["in/deep/five.pdf", "5", "3"])
    assert row.split()[3] == "5"
    assert any("1 of 5 pages could not be read: 3" in line for line in lines)
    assert lines[-1] == (
        "gnosis-ocr: Compare these pages with the documents: in/deep/five.pdf 5. --format json says why."
    )


def test_pages_to_check_have_an_exit_code_of_their_own(services: Running, tmp_path: Path) -> None:
    pdf(tmp_path / "five.pdf", 5)
    arguments = ("five.pdf", "--pages", "4-5", "--ocr", "force", *on(services))
    assert command(tmp_path, *arguments).returncode == 0
    strict = command(tmp_path, *arguments, "--strict")
    assert strict.returncode == 4
    assert strict.stderr.decode().splitlines()[-1].startswith("gnosis-ocr: Compare these pages with the document: 5.")


@pytest.mark.slow
def test_nothing_that_could_be_read_is_exit_code_1(services: Running, tmp_path: Path) -> None:
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7\nnothing")
    broken = command(tmp_path, "broken.pdf", *on(services))
    assert (broken.returncode, broken.stdout) == (1, b"")
    assert broken.stderr.decode().splitlines()[-1].startswith("gnosis-ocr: broken.pdf: ")
    away = command(tmp_path, "broken.pdf", "--server", "http://127.0.0.1:9")
    assert away.returncode == 1
    assert "no Gnosis OCR answers at http://127.0.0.1:9" in away.stderr.decode()


def test_results_that_are_there_are_skipped_or_kept_from_harm(services: Running, tmp_path: Path) -> None:
    pdf(tmp_path / "one.pdf", 1)
    pdf(tmp_path / "two.pdf", 2)
    (tmp_path / "out").mkdir()
    there = tmp_path / "out" / "one.md"
    there.write_text("mine")
    arguments = ("one.pdf", "two.pdf", "--output", "out", *on(services))

    refused = command(tmp_path, *arguments, "--no-clobber")
    assert (refused.returncode, (tmp_path / "out" / "two.md").exists()) == (2, False)
    skipped = command(tmp_path, *arguments, "--skip-existing", "--json")
    assert skipped.returncode == 0, skipped.stderr.decode()
    (line,) = skipped.stdout.splitlines()
    report = json.loads(line)
    assert (report["document"], report["status"], report["pages"]) == ("two.pdf", "completed", 2)
    assert report["files"] == ["out/two.md"]
    assert there.read_text() == "mine"
    assert command(tmp_path, *arguments).returncode == 0
    assert there.read_text().startswith("<!-- page 1 -->"), "by default results are replaced"


def interrupted(process: "subprocess.Popen[bytes]", sign: bytes, journal: Path) -> bytes:
    """The command's standard error after Ctrl-C, when it has printed the sign and the engine has begun a page."""
    assert process.stderr is not None
    errors = b""
    for line in process.stderr:
        errors += line
        if sign in line:
            while not journal.exists() and process.poll() is None:
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            break
    errors += process.communicate(timeout=120)[1]
    return errors


def begin(tmp_path: Path, *arguments: str, **more: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "services.local", "read", *arguments],
        cwd=tmp_path,
        env=environment(tmp_path, **more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.slow
def test_ctrl_c_and_the_same_command_again_reads_no_page_twice(tmp_path: Path) -> None:
    """With a private service, which ends with the command and comes back with it."""
    names = [f"{number}.pdf" for number in range(4)]
    for number, name in enumerate(names):
        pdf(tmp_path / name, 3, text=f"Page {{n}} of document {number}.")
    journal = tmp_path / "journal"
    script: dict[str, Any] = {"seconds": 0.5, "journal": str(journal)}
    engine = {"OCR_ENGINE": "tests.scripted:create", "SCRIPT": msgspec.json.encode(script).decode()}
    arguments = (*names, "--output", "out", "--ocr", "force", "--jobs", "2")

    first = begin(tmp_path, *arguments, **engine)
    errors = interrupted(first, b"Reading: 1.pdf", journal)
    assert first.returncode == 130, errors.decode()
    assert errors.endswith(b"gnosis-ocr: interrupted; the same command goes on from here\n")
    assert b"Traceback" not in errors
    begun = len(journal.read_text().split())
    assert 0 < begun < 12

    second = begin(tmp_path, *arguments, **engine)
    _, errors = second.communicate(timeout=200)
    assert second.returncode == 0, errors.decode()
    assert sorted(journal.read_text().split()) == ["1"] * 4 + ["2"] * 4 + ["3"] * 4
    for number in range(4):
        assert (tmp_path / "out" / f"{number}.md").read_text().count("<!-- page") == 3
    left = [path for path in (tmp_path / "state").rglob("*.pdf") if path.is_file()]
    assert left == [], "what was read is deleted"


def test_two_names_of_one_content_are_read_once(services: Running, tmp_path: Path) -> None:
    content = pdf(tmp_path / "a.pdf", 2, text="The same page {n}.").read_bytes()
    (tmp_path / "b.pdf").write_bytes(content)
    before = sum(services.read_counts().values())
    done = command(tmp_path, "a.pdf", "b.pdf", "--output", "out", "--ocr", "force", *on(services))
    assert done.returncode == 0, done.stderr.decode()
    assert (tmp_path / "out" / "a.md").read_bytes() == (tmp_path / "out" / "b.md").read_bytes()
    assert sum(services.read_counts().values()) == before + 2


@pytest.mark.slow
def test_a_hundred_documents_with_three_broken_ones(services: Running, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(97):
        pdf(folder / f"{number:02}.pdf", 1 + number % 2, text=f"Page {{n}} of {number}.")
    (folder / "x.pdf").write_text("plain words")
    (folder / "y.pdf").write_bytes(b"%PDF-1.7\nnothing")
    (folder / "z.pdf").write_bytes(pdf(tmp_path / "whole.pdf", 3).read_bytes()[:200])
    done = command(tmp_path, "in", "--output", "out", "--ocr", "force", "--jobs", "8", *on(services))

    assert done.returncode == 3, done.stderr.decode()
    assert len(list((tmp_path / "out").iterdir())) == 97
    rows = [line for line in done.stderr.decode().splitlines() if line.strip().startswith("in/") and ": " not in line]
    assert len(rows) == 100
    assert len([row for row in rows if "not read" in row]) == 3


async def test_the_examination_of_an_installation_names_engine_walls_and_disk(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.local", "doctor", "--json"),
        cwd=tmp_path,
        env=environment(tmp_path, OCR_ENGINE="auto"),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 100)
    found = {finding["subject"]: finding for finding in json.loads(output)}

    assert process.returncode == 0, found
    assert found["engine"]["detail"].startswith(("rapidocr reads", "nanonets reads"))
    assert {"version", "[web]", "[worker]", "[cpu]", "landlock", "seccomp", "storage", "service"} <= found.keys()
    assert str(tmp_path / "storage") in found["storage"]["detail"]
    assert not (tmp_path / "storage").exists()
