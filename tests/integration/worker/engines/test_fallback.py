"""A page on which its engine breaks down is read by another engine, in a process whose crashes and lies do no harm."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
import pytest
from PIL import Image, ImageDraw, ImageFont

from libs.jobstate.lease import Lease, LeaseState, encode
from libs.page.trust import Against, Trust
from services.web.render.png import encode_png
from services.worker.engines import select
from services.worker.engines.engine import EngineInfo, Finish, PageFailure, PageImage, PageText, Try
from services.worker.engines.fallback import process as fallback
from services.worker.engines.fallback.process import FallbackProcess, choose
from services.worker.engines.fallback.protocol import FallbackAnswer, decode_answer, encode_answer
from tests.documents import pdf
from tests.leftovers import nothing_left
from tests.running import Running, running
from tests.scripted import Script

GIB = 1024**3


def process(name: str = "tests.scripted:spare", *, seconds: float = 30, memory_bytes: int = 4 * GIB) -> FallbackProcess:
    return FallbackProcess(name, threads=1, languages="eng", seconds=seconds, memory_bytes=memory_bytes)


async def reading(of: FallbackProcess, image: bytes = b"an image") -> PageText | PageFailure:
    return await of.recognise(PageImage(page_no=7, data=image), instead_of="rapidocr")


def printed(text: str) -> bytes:
    image = Image.new("L", (1000, 400), 255)
    ImageDraw.Draw(image).text((60, 150), text, fill=0, font=ImageFont.load_default(48))
    return encode_png(np.asarray(image))


@pytest.fixture(autouse=True)
async def nothing_is_left_behind() -> AsyncIterator[None]:
    async with nothing_left():
        yield


@pytest.mark.parametrize("name", [name for name in select.available() if name != "auto"])
async def test_a_real_engine_reads_the_page_within_its_limits(name: str) -> None:
    found = await reading(process(name, seconds=120), printed("Spare wheel"))
    assert isinstance(found, PageText), found
    assert "Spare wheel" in found.markdown
    assert found.page_no == 7
    assert found.engine is not None
    assert found.engine.name == name


async def test_the_automatic_choice_is_another_engine_than_the_one_that_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(select, "available", lambda: ("auto", "rapidocr", "tesseract"))
    assert choose("auto", instead_of="rapidocr") == "tesseract"
    assert choose("auto", instead_of="tesseract") == "rapidocr"
    assert choose("auto", instead_of="a generative engine") == "rapidocr"
    assert choose("tesseract", instead_of="tesseract") == "tesseract"
    monkeypatch.setattr(select, "available", lambda: ("auto", "rapidocr"))
    assert choose("auto", instead_of="rapidocr") == "rapidocr"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("tests.scripted:spare_that_refuses", "could not read it: Told to fail."),
        ("tests.scripted:spare_that_crashes", "ended without an answer"),
        ("tests.scripted:spare_that_explodes", "it broke down (RuntimeError)"),
        ("tests.scripted:spare_that_eats", "more memory than allowed"),
        ("tests.scripted:missing", "cannot be imported"),
        ("no such engine", "There is no engine"),
    ],
)
async def test_a_fallback_that_fails_says_why(name: str, reason: str) -> None:
    found = await reading(process(name, memory_bytes=GIB))
    assert isinstance(found, PageFailure)
    assert found.reason.startswith(f"The fallback engine {name} ")
    assert reason in found.reason


async def test_a_fallback_that_hangs_is_killed(let_time_pass: Callable[[float], None]) -> None:
    hanging = asyncio.create_task(reading(process("tests.scripted:spare_that_hangs", seconds=600)))
    started: list[psutil.Process] = []
    while not started:
        await asyncio.sleep(0.01)
        started = psutil.Process().children(recursive=True)
        assert not hanging.done(), "it started nothing"
    let_time_pass(600)
    found = await hanging
    assert isinstance(found, PageFailure)
    assert "longer than 600 seconds" in found.reason
    gone, left = await asyncio.to_thread(psutil.wait_procs, started, 60)
    assert left == []
    assert len(gone) == 1


async def test_a_cancelled_call_leaves_no_process() -> None:
    hanging = asyncio.create_task(reading(process("tests.scripted:spare_that_hangs")))
    started: list[psutil.Process] = []
    while not started:
        await asyncio.sleep(0.01)
        started = psutil.Process().children()
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging


async def test_the_child_gets_no_secret_of_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERNAL_TOKEN", "a secret")
    found = await reading(process("tests.scripted:spare_that_tells"))
    assert isinstance(found, PageText)
    assert "PYTHONPATH" in found.markdown
    assert "INTERNAL_TOKEN" not in found.markdown


ANSWERER = """
    import socket
    channel = socket.socket(fileno=0)
    while channel.recv(1 << 18):
        pass
    {answer}
"""
ENGINE = '"engine":{"name":"e","revision":"1","device":"d"}'
LIES = {
    "nothing": "",
    "noise": "channel.sendall(bytes(range(256)) * 99)",
    "no answer": "channel.sendall(b'{\"hello\": 1}')",
    "cut off": f'channel.sendall(b\'{{{ENGINE},"text":{{"page_no":1,\')',
    "nested": 'channel.sendall(b\'{"a":\' + b"[" * 100_000 + b"}")',
    "too long": "channel.sendall(bytes(20_000_000))",
    "endless": "while True: channel.sendall(bytes(100_000))",
    "both": f"""channel.sendall(b'{{{ENGINE},"refused":"no","text":{{"page_no":1,"markdown":"","finish":"stop",'
            b'"seconds":1}}}}')""",
    "neither": f"channel.sendall(b'{{{ENGINE}}}')",
    "no number": f"""channel.sendall(b'{{{ENGINE},"text":{{"page_no":1,"markdown":"","finish":"stop",'
            b'"seconds":null}}}}')""",
    "half a character": f"""channel.sendall(b'{{{ENGINE},"text":{{"page_no":1,"markdown":"\\xff","finish":"stop",'
            b'"seconds":1}}}}')""",
    "deaf": "import os; os._exit(1)",
}


def test_tries_and_trust_in_the_childs_answer_are_ignored_but_for_what_it_measured() -> None:
    measured = Trust(confidence=1.0, unreadable=0.5, script="Thai", reads=("Latin",))
    text = PageText(page_no=1, markdown="x", finish=Finish.STOP, seconds=1.0, trust=measured)
    info = EngineInfo(name="e", revision="1", device="d")
    claimed = msgspec.structs.replace(
        text,
        tries=(Try(engine="x" * 999, ending="stop"),),
        tokens=9,
        trust=msgspec.structs.replace(measured, figure=1.0, numbers=1.0, against=Against.OCR, confidence=7.0),
        fallback="no reason",
    )
    assert decode_answer(encode_answer(FallbackAnswer(engine=info, text=claimed))).text == text


@pytest.fixture
def run_instead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    def replace(program: str) -> None:
        path = tmp_path / "liar.py"
        path.write_text(textwrap.dedent(program))
        monkeypatch.setattr(fallback, "PROGRAM", (str(path),))

    return replace


@pytest.mark.parametrize("lie", LIES)
async def test_a_child_that_talks_nonsense_is_never_believed(run_instead: Callable[[str], None], lie: str) -> None:
    run_instead(textwrap.dedent(ANSWERER).format(answer=LIES[lie]))
    found = await reading(process("any"))
    assert isinstance(found, PageFailure), found
    assert "no sense" in found.reason or "too long" in found.reason or "without an answer" in found.reason


async def test_what_the_child_claims_to_be_is_cut_to_one_short_line(run_instead: Callable[[str], None]) -> None:
    run_instead(
        textwrap.dedent(ANSWERER).format(
            answer='channel.sendall(b\'{"engine":{"name":"e","revision":"1","device":"d"},'
            "\"refused\":\"one\\\\ntwo\\\\u0007' + b'x' * 9_000 + b'\"}')"
        )
    )
    found = await reading(process("any"))
    assert isinstance(found, PageFailure)
    assert "one two x" in found.reason
    assert len(found.reason) < 400


async def test_a_child_that_does_not_listen_is_no_hang(run_instead: Callable[[str], None]) -> None:
    run_instead("import time; time.sleep(600)")
    found = await reading(process("any", seconds=0.5), bytes(30_000_000))
    assert isinstance(found, PageFailure)
    assert "longer than 0.5 seconds" in found.reason


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
async def test_the_child_dies_with_the_worker() -> None:
    program = """
        import asyncio, sys
        from services.worker.engines.engine import PageImage
        from services.worker.engines.fallback.process import FallbackProcess

        spare = FallbackProcess("tests.scripted:spare_that_hangs", threads=1, languages="eng", seconds=600,
                                memory_bytes=4 * 1024**3)
        asyncio.run(spare.recognise(PageImage(page_no=1, data=b"x"), instead_of="any"))
    """
    worker = psutil.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.DEVNULL)
    children: list[psutil.Process] = []
    while not children:
        await asyncio.sleep(0.01)
        children = worker.children(recursive=True)
    (child,) = children
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    gone, _ = await asyncio.to_thread(psutil.wait_procs, [child], 60)
    assert gone == [child]


def upload_with_deaths(services: Running, document: Path, page_no: int) -> str:
    """A job of one batch, whose page `page_no` has ended three workers; the next one has just been started."""
    services.kill("worker")
    job_id = services.upload(document)
    job = services.until(lambda: extracted(services.status(job_id)), "the pages' images")
    died = Lease(
        name="0001",
        run=1,
        holder="a worker before",
        claim="0" * 16,
        state=LeaseState.RELEASED,
        attempt=4,
        seconds=60,
        taken_at=datetime.now(UTC),
        pages=tuple(int(number) for number in job["pages"]),
        deaths={page_no: 3},
    )
    path = services.storage / "users" / job["user_hash"] / job_id / "batches" / "0001.json"
    path.write_bytes(encode(died))
    services.start("worker")
    return job_id


def extracted(job: dict[str, Any]) -> dict[str, Any] | None:
    return job if job["current_step"] == "extraction_complete" else None


def restart_until_ended(services: Running, job_id: str) -> dict[str, object]:
    """The worker is started again whenever it has died, as its supervisor would."""

    def ended_or_dead() -> bool:
        if psutil.Process(services.pid("worker")).status() == psutil.STATUS_ZOMBIE:
            services.wait_exit("worker")
            services.start("worker")
        return services.status(job_id)["status"] in ("completed", "partial", "failed")

    services.until(ended_or_dead, "the job to end")
    return services.status(job_id)


@pytest.mark.slow
def test_a_page_that_kills_the_engine_every_time_is_read_by_a_real_fallback(tmp_path: Path) -> None:
    with running(
        tmp_path, script=Script(crash=(2,)), LEASE_SECONDS="1", FALLBACK_ENGINE="rapidocr", PAGE_SECONDS="60"
    ) as services:
        job_id = services.upload(pdf(tmp_path / "three.pdf", 3))
        job = restart_until_ended(services, job_id)
        assert job["status"] == "completed"
        page = services.get(f"/api/jobs/{job_id}/pages/2", Accept="application/json").json()
        assert "Page 2 of the test document" in page["text"]
        assert (page["engine"], page["status"]) == ("rapidocr", "completed")
        assert "broke down 3 times" in page["fallback"]
        assert page["attempts"] >= 4
        assert "Page 2 of the test document" in services.get(f"/api/jobs/{job_id}/result").text
        other = services.get(f"/api/jobs/{job_id}/pages/1", Accept="application/json").json()
        assert (other["engine"], other["fallback"]) == ("scripted", None)
        assert services.read_counts()[2] >= 3


def test_a_page_that_no_engine_can_read_fails_alone_and_names_both(tmp_path: Path) -> None:
    with running(
        tmp_path,
        script=Script(),
        LEASE_SECONDS="2",
        FALLBACK_ENGINE="tests.scripted:spare_that_hangs",
        PAGE_SECONDS="2",
    ) as services:
        job_id = upload_with_deaths(services, pdf(tmp_path / "three.pdf", 3), 2)
        job = services.ended(job_id)
        assert job["status"] == "partial"
        page = services.get(f"/api/jobs/{job_id}/pages/2", Accept="application/json").json()
        assert "broke down 3 times" in page["error"]
        assert "spare_that_hangs took longer than 2 seconds" in page["error"]
        worker = psutil.Process(services.pid("worker"))
        assert worker.children(recursive=True) == []


def test_a_worker_told_to_stop_does_not_wait_for_its_fallback(tmp_path: Path) -> None:
    with running(
        tmp_path,
        script=Script(),
        FALLBACK_ENGINE="tests.scripted:spare_that_hangs",
        PAGE_SECONDS="120",
        LEASE_SECONDS="300",
    ) as services:
        job_id = upload_with_deaths(services, pdf(tmp_path / "one.pdf", 1), 1)
        worker = psutil.Process(services.pid("worker"))
        started = services.until(lambda: worker.children(recursive=True), "the fallback to start")
        assert services.kill("worker", signal.SIGTERM) == 0
        psutil.wait_procs(started, timeout=60)
        assert not any(process.is_running() for process in started)
        # The lease was released: the next worker waits neither for its expiry nor for the rule of three deaths.
        services.start("worker", FALLBACK_ENGINE="tests.scripted:spare")
        assert services.ended(job_id)["status"] == "completed"


def test_a_cancelled_job_stops_its_fallback(tmp_path: Path) -> None:
    with running(
        tmp_path,
        script=Script(),
        FALLBACK_ENGINE="tests.scripted:spare_that_hangs",
        PAGE_SECONDS="120",
        LEASE_SECONDS="2",
    ) as services:
        job_id = upload_with_deaths(services, pdf(tmp_path / "one.pdf", 1), 1)
        worker = psutil.Process(services.pid("worker"))
        services.until(lambda: worker.children(recursive=True), "the fallback to start")
        services.post(f"/api/jobs/{job_id}/cancel")
        services.until(lambda: worker.children(recursive=True) == [], "the fallback to be gone")
        assert services.status(job_id)["status"] == "cancelled"
