import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.web.render import document as rendering
from services.web.render.document import (
    FailedPage,
    RenderedPage,
    RenderLimits,
    Unreadable,
    open_document,
)
from services.web.render.filetype import FileType
from tests import ROOT
from tests.documents import WriteFile
from tests.rendering import (
    any_file,
    children,
    grey_of,
    mupdf,
    noisy_pdf,
    one_page,
    opened,
    pdf,
    pixels,
    render,
)

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")


async def test_a_child_killed_between_pages_costs_one_page(write: WriteFile) -> None:
    async with open_document(write("a.pdf", pdf(6)), FileType.PDF, dpi=72) as document:
        assert [page.page_no async for page in document.render([1, 2])] == [1, 2]
        (process,) = children()
        process.send_signal(signal.SIGKILL)
        rest = [page async for page in document.render([3, 4, 5, 6])]
    assert isinstance(rest[0], FailedPage)
    assert "upload" in rest[0].reason
    assert [int(pixels(page)[9, 9]) for page in rest[1:]] == [grey_of(n) for n in (4, 5, 6)]


async def test_a_child_killed_in_mid_stream_costs_the_page_in_hand(write: WriteFile) -> None:
    outcomes = []
    async with open_document(write("a.pdf", noisy_pdf(5)), FileType.PDF) as document:
        async for page in document.render(range(1, 6)):
            outcomes.append(page)
            if page.page_no == 2:
                # It is stuck in page 3, which does not fit between it and us.
                children()[0].send_signal(signal.SIGKILL)
    assert [page.page_no for page in outcomes] == [1, 2, 3, 4, 5]
    assert [isinstance(page, FailedPage) for page in outcomes] == [False, False, True, False, False]
    assert [int(pixels(outcomes[n - 1])[9, 9][0]) for n in (1, 2, 4, 5)] == [grey_of(n) for n in (1, 2, 4, 5)]


async def test_a_child_that_hangs_is_ended_and_costs_one_page(write: WriteFile) -> None:
    limits = RenderLimits(render_seconds=1.5)
    async with open_document(write("a.pdf", pdf(3)), FileType.PDF, dpi=72, limits=limits) as document:
        children()[0].send_signal(signal.SIGSTOP)
        hung, *rest = [page async for page in document.render([1, 2, 3])]
    assert isinstance(hung, FailedPage)
    assert "longer than 1.5 seconds" in hung.reason
    assert [int(pixels(page)[9, 9]) for page in rest] == [grey_of(2), grey_of(3)]


@pytest.mark.slow
async def test_processor_time_is_bounded_even_if_the_parent_waits(write: WriteFile) -> None:
    def draw(page: Any) -> None:
        shape = page.new_shape()
        shape.draw_line((0, 0), (1, 1))
        shape.finish()
        shape.commit()
        strokes = b"0 0 m 3000 3000 l 3000 0 l 0 3000 l S\n" * 60_000
        page.parent.update_stream(page.get_contents()[0], strokes)

    path = write("a.pdf", one_page(3000, 3000, draw))
    (page,) = await render(path, limits=RenderLimits(cpu_seconds=0), dpi=150)
    assert isinstance(page, FailedPage)
    assert "ended the program" in page.reason


async def test_memory_is_bounded(write: WriteFile) -> None:
    limits = RenderLimits(memory_bytes=500 * 1024**2, max_pixels=200_000_000, max_side=20_000)
    document = mupdf.open()
    document.new_page(width=12_000, height=12_000)
    document.new_page(width=100, height=100)
    large, small = await render(write("a.pdf", bytes(document.tobytes())), limits=limits)
    assert isinstance(large, FailedPage)
    assert "memory" in large.reason
    assert isinstance(small, RenderedPage)


LIAR = """
    import json, socket, sys, time
    import numpy as np
    from services.web.render.protocol import FrameKind, encode_header
    from services.web.render.png import encode_png

    channel = socket.socket(fileno=0)
    lines = channel.makefile("r")
    next(lines)

    def send(kind, page_no, payload, length=None):
        channel.sendall(encode_header(kind, page_no, len(payload) if length is None else length) + payload)

    good = encode_png(np.zeros((4, 4), np.uint8))
    send(FrameKind.DOCUMENT, 0, b'{"total_pages": 12, "repaired": false}')
    for line in lines:
        for page in json.loads(line)["pages"]:
            match page:
                case 1: send(FrameKind.PAGE, 1, b"no picture at all" * 9)
                case 2: send(FrameKind.PAGE, 3, good)
                case 3: send(FrameKind.PAGE, 3, b"", length=2**32 - 1)
                case 4: channel.sendall(b"Traceback (most recent call last):")
                case 5: send(FrameKind.PAGE, 5, encode_png(np.zeros((1, 301), np.uint8)))
                case 6: send(FrameKind.PAGE, 6, good[:-1])
                case 7: send(FrameKind.PAGE_FAULT, 7, b"<script>alert(1)</script>")
                case 8: send(FrameKind.DOCUMENT, 8, b'{"total_pages": 12, "repaired": false}')
                case 9: sys.exit(0)
                case 10: send(FrameKind.PAGE, 10, good[:9], length=len(good)); sys.exit(0)
                case 11: send(FrameKind.PAGE_FAULT, 11, b"PAGE_DAMAGED")
                case 12: send(FrameKind.PAGE, 12, good)
"""


@pytest.fixture
def run_instead(monkeypatch: pytest.MonkeyPatch, write: WriteFile) -> Callable[[str], None]:
    def replace(program: str) -> None:
        path = write("liar.py", textwrap.dedent(program).encode())
        monkeypatch.setattr(rendering, "PROGRAM", (str(path),))

    return replace


async def test_a_child_that_talks_nonsense_is_never_believed(
    run_instead: Callable[[str], None], tmp_path: Path
) -> None:
    run_instead(LIAR)
    limits = RenderLimits(max_side=300, max_lost_in_a_row=20)
    rendered = await render(any_file(tmp_path), limits=limits)
    assert [page.page_no for page in rendered] == list(range(1, 13))
    assert all(isinstance(page, FailedPage) for page in rendered[:11])
    assert isinstance(rendered[11], RenderedPage)
    for page in rendered[:11]:
        assert isinstance(page, FailedPage)
        assert "script" not in page.reason


async def test_after_so_many_lost_pages_in_a_row_the_rest_is_given_up(
    run_instead: Callable[[str], None], tmp_path: Path
) -> None:
    run_instead(LIAR)
    rendered = await render(any_file(tmp_path), limits=RenderLimits(max_side=300, max_lost_in_a_row=3))
    assert [page.page_no for page in rendered] == list(range(1, 13))
    tried = ["was not tried" not in page.reason for page in rendered if isinstance(page, FailedPage)]
    assert tried == [True] * 3 + [False] * 9


@pytest.mark.parametrize(
    "program",
    [
        "raise SystemExit(3)",
        "import socket; socket.socket(fileno=0).sendall(bytes(9) + b'x')",
        "import socket; socket.socket(fileno=0).sendall(b'hello, parent')",
        "import socket; socket.socket(fileno=0).sendall(bytes(8) + b'\\x12{\"total_pages\": -3}')",
    ],
)
async def test_a_child_that_cannot_open_anything_makes_the_document_unreadable(
    run_instead: Callable[[str], None], tmp_path: Path, program: str
) -> None:
    run_instead(program)
    with pytest.raises(Unreadable, match="ended the program"):
        await opened(any_file(tmp_path), FileType.PDF)


async def test_opening_has_a_time_limit(run_instead: Callable[[str], None], tmp_path: Path) -> None:
    run_instead("import time; time.sleep(600)")
    with pytest.raises(Unreadable, match=r"longer than 0\.3 seconds"):
        await opened(any_file(tmp_path), FileType.PDF, RenderLimits(open_seconds=0.3))


async def test_a_call_left_half_way_does_not_disturb_the_next(write: WriteFile) -> None:
    async with open_document(write("a.pdf", noisy_pdf(4)), FileType.PDF) as document:
        async for _ in document.render(range(1, 5)):
            break
        rest = [page async for page in document.render([3, 4])]
    assert [int(pixels(page)[9, 9][0]) for page in rest] == [grey_of(3), grey_of(4)]


async def test_a_closed_document_renders_no_more(write: WriteFile) -> None:
    async with open_document(write("a.pdf", pdf(2)), FileType.PDF) as document:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        [page async for page in document.render([1])]


async def test_cancelling_the_consumer_ends_the_child(write: WriteFile) -> None:
    path = write("a.pdf", pdf(3))
    waiting = asyncio.Event()

    async def consume() -> None:
        async with open_document(path, FileType.PDF) as document:
            children()[0].send_signal(signal.SIGSTOP)
            waiting.set()
            [page async for page in document.render([1, 2, 3])]

    task = asyncio.create_task(consume())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert children() == []


async def test_leaving_the_context_by_an_error_ends_the_child(write: WriteFile) -> None:
    with pytest.raises(ZeroDivisionError):
        async with open_document(write("a.pdf", noisy_pdf(3)), FileType.PDF) as document:
            async for _ in document.render([1, 2, 3]):
                raise ZeroDivisionError
    assert children() == []


async def test_a_slot_is_held_while_a_document_is_open(write: WriteFile) -> None:
    slots = asyncio.Semaphore(1)
    async with open_document(write("a.pdf", pdf(1)), FileType.PDF, slots=slots):
        assert slots.locked()
    assert not slots.locked()
    with pytest.raises(Unreadable):
        async with open_document(write("b.pdf", b""), FileType.PDF, slots=slots):
            pass
    assert not slots.locked()


async def test_the_child_knows_no_secret_of_its_parent(write: WriteFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERNAL_TOKEN", "secret")
    async with open_document(write("a.pdf", pdf(1)), FileType.PDF):
        (process,) = children()
        assert "INTERNAL_TOKEN" not in process.environ()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
async def test_a_child_dies_with_its_parent_even_while_it_cannot_notice(write: WriteFile) -> None:
    program = """
        import asyncio, sys
        from pathlib import Path
        import psutil
        from services.web.render.document import open_document
        from services.web.render.filetype import FileType

        async def main():
            async with open_document(Path(sys.argv[1]), FileType.PDF):
                print(psutil.Process().children()[0].pid, flush=True)
                await asyncio.sleep(600)

        asyncio.run(main())
    """
    path = write("a.pdf", pdf(1))
    parent = subprocess.Popen(  # noqa: ASYNC220  it is the one that dies
        [sys.executable, "-c", textwrap.dedent(program), str(path)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    with parent:
        assert parent.stdout is not None
        orphan = psutil.Process(int(parent.stdout.readline()))
        orphan.send_signal(signal.SIGSTOP)
        os.kill(parent.pid, signal.SIGKILL)
    gone, _ = psutil.wait_procs([orphan], timeout=20)
    assert gone == [orphan]


def test_a_child_whose_parent_dies_before_its_first_request_ends_without_an_error() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        orphan = subprocess.Popen(
            [sys.executable, *rendering.PROGRAM],
            stdin=theirs.fileno(),
            stderr=subprocess.PIPE,
            cwd=ROOT,
        )
    _, errors = orphan.communicate(timeout=60)
    assert (orphan.returncode, errors) == (0, b"")
