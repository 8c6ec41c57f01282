"""`ocr` as a person runs it: the command starts the services, and nothing of them stays."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil
import pymupdf
import pytest

from tests import ROOT
from tests.running import running
from tests.scripted import Script


@pytest.fixture
def document(tmp_path: Path) -> Path:
    file = tmp_path / "two pages.pdf"
    with pymupdf.open() as pdf:
        for word in ("Walnut", "Harbour"):
            page = pdf.new_page()
            page.insert_text((72, 120), f"{word} grows quietly", fontsize=24)
        pdf.save(file)
    return file


async def ocr(tmp_path: Path, *arguments: str, **environ: str) -> asyncio.subprocess.Process:
    """The command, with a directory of its own for whatever is temporary and no Gnosis to be found."""
    temporary = tmp_path / "temporary"
    temporary.mkdir(exist_ok=True)
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.local",
        "ocr",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(ROOT), os.environ["PYTHONPATH"])),
            "TMPDIR": str(temporary),
            "GNOSIS_URL": "http://127.0.0.1:9",
            "OCR_ENGINE": "auto",
            **environ,
        },
    )


def left_behind(tmp_path: Path) -> list[str]:
    """Files of the command, and processes that still use its temporary directory."""
    temporary = str(tmp_path / "temporary")
    files = [file.name for file in Path(temporary).iterdir()]
    processes = []
    for process in psutil.process_iter():
        try:
            if any(temporary in value for value in process.environ().values()):
                processes.append(f"{process.pid} {process.cmdline()}")
        except psutil.Error:
            continue
    return files + processes


async def test_a_document_becomes_markdown_on_stdout_and_progress_on_stderr(tmp_path: Path, document: Path) -> None:
    command = await ocr(tmp_path, document.name)
    output, errors = await asyncio.wait_for(command.communicate(), 200)

    assert command.returncode == 0, errors.decode()
    text = output.decode()
    assert text.startswith("<!-- page 1 -->\n")
    assert text.index("Walnut") < text.index("<!-- page 2 -->") < text.index("Harbour")
    assert text.count("<!-- page") == 2
    assert "Reading" in errors.decode()
    assert left_behind(tmp_path) == []
    assert not (tmp_path / "storage").exists()


@pytest.mark.slow
async def test_chosen_pages_go_to_a_file_and_nothing_to_stdout(tmp_path: Path, document: Path) -> None:
    target = tmp_path / "out.txt"
    command = await ocr(
        tmp_path, str(document), "--pages", "2", "--ocr", "force", "--format", "txt", "--output", str(target)
    )
    output, errors = await asyncio.wait_for(command.communicate(), 200)

    assert command.returncode == 0, errors.decode()
    assert output == b""
    assert "Harbour" in target.read_text("utf-8")
    assert "Walnut" not in target.read_text("utf-8")


async def test_what_is_no_document_is_refused_with_advice(tmp_path: Path) -> None:
    file = tmp_path / "notes.pdf"
    file.write_text("plain words")
    command = await ocr(tmp_path, str(file))
    output, errors = await asyncio.wait_for(command.communicate(), 200)

    assert (command.returncode, output) == (2, b"")
    last = errors.decode().splitlines()[-1]
    assert last.startswith("gnosis-ocr: The content is neither a PDF nor a supported image")
    assert "Supported: PDF" in last
    assert left_behind(tmp_path) == []


async def test_ctrl_c_leaves_nothing_behind(tmp_path: Path, document: Path) -> None:
    command = await ocr(tmp_path, str(document))
    assert command.stderr is not None
    # The progress bar begins when the upload has been taken, so that services and job are in full work.
    errors = await asyncio.wait_for(command.stderr.readuntil(b"ing: "), 200)
    command.send_signal(signal.SIGINT)
    output, rest = await asyncio.wait_for(command.communicate(), 200)

    assert (command.returncode, output) == (130, b"")
    assert (errors + rest).endswith(b"gnosis-ocr: interrupted\n")
    assert b"Traceback" not in rest
    assert left_behind(tmp_path) == []


@pytest.mark.slow
async def test_a_running_service_is_named_and_keeps_nothing_unless_it_should(tmp_path: Path, document: Path) -> None:
    with running(tmp_path, script=Script()) as services:
        for option, kept in (("", 0), ("--keep", 1)):
            command = await ocr(tmp_path, document.name, *filter(None, [option]), GNOSIS_URL=services.url)
            output, errors = await asyncio.wait_for(command.communicate(), 200)
            assert (command.returncode, output.count(b"<!-- page")) == (0, 2)
            assert f"using the Gnosis OCR at {services.url}" in errors.decode()
            assert len(services.get("/api/jobs").json()["jobs"]) == kept
