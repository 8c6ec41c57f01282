"""Sessions of the first version, in every state in which it left them, become jobs."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pymupdf
import pytest

from services.web.migrate.__main__ import main
from tests.documents import pdf
from tests.running import Running
from tests.scripted import Script

OWNER = "owner@example.org"
CREATED = "2025-06-01T10:30:00"
#: How a session was left, and what becomes of it.
STATES = {
    "complete": "complete: 3 pages",
    "complete without images": "complete: 3 pages",
    "half": "2 pages are there, 1 will be read",
    "begun": "0 pages are there, 3 will be read",
    "pending": "0 pages are there, the others will be read",
    "killed": "1 pages are there, the others will be read",
    "wordless": "1 pages are there, 2 will be read",
    "scan": "complete: 1 pages",
    "broken": "0 pages are there, the others will be read",
    "lost": "left out: its document is missing",
    "foreign": "left out: notes.txt is neither a PDF nor a supported image",
    "double": "left out: 2 documents in its folder input",
    "linked": "left out: its document is missing",
}


def png(path: Path, number: int) -> None:
    pixmap = pymupdf.Pixmap(pymupdf.csRGB, pymupdf.IRect(0, 0, 60 + number, 80))
    pixmap.clear_with(200)
    pixmap.save(path)


def make(folder: Path, state: str) -> None:
    """A session in this state, as that version wrote it."""
    for name in ("input", "images", "output"):
        (folder / name).mkdir(parents=True)
    status = {"session_hash": folder.name, "created_at": CREATED, "status": "completed", "total_pages": 3}
    texts = {1: f"# {folder.name}\n", 2: "Second.", 3: "Third."}
    match state:
        case "complete without images" | "complete":
            (folder / "output" / "metadata.json").write_text('{"model": "nanonets/Nanonets-OCR-s"}')
            (folder / "output" / "combined_output.md").write_text("old")
        case "half":
            del texts[2]
            status |= {"status": "processing"}
        case "begun" | "pending" | "lost" | "foreign" | "double" | "linked" | "broken":
            texts = {}
            status |= {"status": "pending" if state == "pending" else "failed"}
            if state in ("pending", "broken"):
                status |= {"total_pages": 0}
        case "killed":
            texts = {1: "First."}
        case "wordless":
            texts |= {2: " \n", 3: ""}
        case "scan":
            texts = {1: "Scanned."}
            status |= {"total_pages": 1}
    status |= {"filename": f"{state}.pdf"}
    if state == "scan":
        status |= {"filename": "scan.png"}
        png(folder / "input" / "scan.png", 1)
    elif state == "broken":
        (folder / "input" / "broken.pdf").write_bytes(b"%PDF-1.4\nnothing")
    elif state == "foreign":
        (folder / "input" / "notes.txt").write_text("plain words")
    elif state == "double":
        status |= {"filename": "other.pdf"}
        for name in ("a.pdf", "b.pdf"):
            pdf(folder / "input" / name, 1)
    elif state == "linked":
        (folder / "input" / "linked.pdf").symlink_to(pdf(folder.parent / f"{folder.name}.pdf", 1))
    elif state != "lost":
        pdf(folder / "input" / f"{state}.pdf", 3)
    for number, text in texts.items():
        (folder / "output" / f"page_{number:03d}.md").write_text(text)
    if state == "complete":
        png(folder / "images" / "page_001.png", 1)
        (folder / "images" / "page_002.png").write_bytes(b"\x89PNG\r\n\x1a\ndamaged")
    written = json.dumps(status)
    (folder / "status.json").write_text(written[:20] if state == "killed" else written)


@pytest.fixture
def sessions(tmp_path: Path) -> Path:
    """50 sessions, of every state some."""
    folder = tmp_path / "ocr_sessions"
    states = list(STATES)
    for number in range(50):
        make(folder / f"{number:02}-{states[number % len(states)].replace(' ', '-')}", states[number % len(states)])
    (folder / "no session").mkdir()
    return folder


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """Services that do not run yet, over the storage that the command writes to."""
    services = Running(tmp_path, script=Script(), environ={})
    monkeypatch.setenv("STORAGE_PATH", str(services.storage))
    yield services
    services.stop()


def content(folder: Path) -> dict[str, str]:
    """The digest of every file below the folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".tmp" not in path.parts and ".locks" not in path.parts
    }


@pytest.mark.slow
def test_sessions_of_every_state_become_jobs_once_and_the_missing_pages_are_read(
    sessions: Path, services: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    originals = content(sessions)
    arguments = [str(sessions), "--owner", OWNER]

    assert main(arguments) == 3
    dry = capsys.readouterr().out.splitlines()
    assert content(services.storage) == {}
    states = list(STATES)
    for number, line in enumerate(dry[:50]):
        name, _, fate = line.partition("  ")
        state = states[number % len(states)]
        assert name == f"{number:02}-{state.replace(' ', '-')}"
        assert fate.startswith(STATES[state]), line
    left = sum("left out" in line for line in dry[:50])
    assert dry[50] == f"50 sessions, {left} left out. Nothing was written: --apply imports {50 - left}."

    assert main([*arguments, "--apply"]) == 3
    applied = capsys.readouterr().out.splitlines()
    assert applied[:50] == dry[:50], "the same sessions become the same jobs as was said"
    stored = content(services.storage)
    assert main([*arguments, "--apply"]) == 3
    again = capsys.readouterr().out.splitlines()
    assert [line for line in again[:50] if "left out" not in line and "there already" not in line] == []
    assert content(services.storage) == stored
    assert content(sessions) == originals

    jobs = [line.rpartition(" ")[2] for line in applied[:50] if "; job " in line]
    complete = [line.rpartition(" ")[2] for line in applied[:50] if "complete:" in line]
    before = {job_id: services.storage.glob(f"users/*/{job_id}/processing.json") for job_id in complete}
    assert {json.loads(next(record).read_text())["status"] for record in before.values()} == {"completed"}
    services.start("web")
    services.start("worker")
    services.wait_ready()
    for job_id in jobs:
        services.until(lambda: services.status(job_id, user=OWNER)["status"] in ("completed", "failed"), job_id)  # noqa: B023
    # Each page that was read before counts as it is: those of half, begun, pending, killed and wordless are read.
    counts = {state: sum(f"-{state.replace(' ', '-')}  " in line for line in applied) for state in STATES}
    missing = {"half": 1, "begun": 3, "pending": 3, "killed": 2, "wordless": 2}
    assert sum(services.read_counts().values()) == sum(counts[state] * pages for state, pages in missing.items())
    for line in applied[:50]:
        if "; job " in line:
            check(services, line.partition("  ")[0], line.rpartition(" ")[2])


def check(services: Running, name: str, job_id: str) -> None:
    """The job has the old texts, and the new ones where there were none."""
    state = name[3:].replace("-", " ")
    job = services.status(job_id, user=OWNER)
    headers = {"X-User-Email": OWNER}
    if state == "broken":
        assert (job["status"], job["current_step"]) == ("failed", "extraction_failed")
        return
    assert (job["status"], job["file_info"]["filename"]) == (
        "completed",
        "scan.png" if state == "scan" else f"{state}.pdf",
    )
    assert job["created_at"].startswith("2025-06-01T10:30:00") or state == "killed"
    result = services.get(f"/api/jobs/{job_id}/result", **headers).text
    assert result.count("<!-- page") == (1 if state == "scan" else 3)
    if state.startswith("complete"):
        assert f"<!-- page 1 -->\n# {name}\n" in result
        assert job["pages"]["1"]["engine"] == "nanonets/Nanonets-OCR-s"
        has_image = [number for number, page in job["pages"].items() if page["image"]]
        assert has_image == (["1"] if state == "complete" else [])
    if state == "half":
        assert "Third." in result
        assert "Page 2" in result


def test_what_is_no_folder_or_no_address_is_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none"), "--owner", OWNER]) == 2
    assert "Name the folder" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path), "--owner", "nobody"])
    assert ended.value.code == 2
