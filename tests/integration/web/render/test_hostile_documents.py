"""Hostile documents: each ends in time, with a reason or a picture, and leaves no process, descriptor or memory."""

import io
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import psutil
import pytest
from PIL import Image

from services.web.render.document import FailedPage, RenderedPage, RenderLimits, Unreadable, open_document
from services.web.render.filetype import FileType, file_type
from tests.bombs.bomb import LIMITED, Bomb
from tests.bombs.collection import bombs
from tests.bombs.disguises import DISGUISED, UNREADABLE, truncated
from tests.bombs.drawings import billion_laughs, flate_bomb
from tests.bombs.pictures import huge_png, png_text_bomb, tiff_loop, tiff_of_itself
from tests.bombs.structures import circular_page_tree, many_pages, noise
from tests.documents import pdf
from tests.leftovers import nothing_left
from tests.running import ENDED, running
from tests.scripted import Script

GIB = 1024**3
LIMITS = RenderLimits(open_seconds=30, render_seconds=20, cpu_seconds=20, memory_bytes=2 * GIB, max_pages=1_000)
# For bombs that may end at a limit; all others have more time, so that a busy machine fails no test.
SHORT = RenderLimits(open_seconds=3, render_seconds=1, cpu_seconds=10, memory_bytes=2 * GIB, max_pages=1_000)


@pytest.fixture(scope="session", autouse=True)
def warm() -> None:
    """Load what the process needs once (codecs, fonts, threads), so that it is not counted as left by a document."""
    Image.new("RGB", (8, 8)).save(io.BytesIO(), "PNG")


@pytest.fixture(autouse=True)
async def the_process_is_as_before() -> AsyncIterator[None]:
    process = psutil.Process()
    memory = process.memory_info().rss
    async with nothing_left():
        yield
    # Page images of 40 MP pass through, and allocators keep some of that memory; the bombs would take gigabytes.
    assert process.memory_info().rss < memory + 300_000_000


async def outcome(path: Path, kind: FileType, limits: RenderLimits = LIMITS) -> str:
    """`rendered`, or the reason why not, of the first pages of the document."""
    try:
        async with open_document(path, kind, dpi=150, limits=limits) as document:
            wanted = range(1, min(document.total_pages, 3) + 1)
            found = [page async for page in document.render(wanted)]
    except Unreadable as fault:
        assert fault.reason.endswith((".", ")"))
        return fault.reason
    assert [page.page_no for page in found] == list(wanted)
    for page in found:
        if isinstance(page, RenderedPage):
            assert max(page.width, page.height) <= limits.max_side
            assert page.width * page.height <= limits.max_pixels
    failed = [page.reason for page in found if isinstance(page, FailedPage)]
    return failed[0] if failed else "rendered"


BOMBS = tuple(bombs())


@pytest.mark.parametrize(
    "bomb",
    # Every third one for `make test`.
    [pytest.param(bomb, id=bomb.name, marks=pytest.mark.slow if at % 3 else ()) for at, bomb in enumerate(BOMBS)],
)
async def test_a_hostile_document_ends_with_a_picture_or_a_reason(tmp_path: Path, bomb: Bomb) -> None:
    data = bomb.make()
    assert len(data) < 25_000_000
    kind = file_type(data[:2048])
    assert kind is not None, "its upload would be refused"
    path = tmp_path / "hostile"
    path.write_bytes(data)
    limits = SHORT if LIMITED in bomb.expected else LIMITS
    assert re.search(bomb.expected, await outcome(path, kind, limits))


@pytest.mark.parametrize("make", [tiff_loop, tiff_of_itself], ids=lambda make: make.__name__)
async def test_a_loop_of_frames_is_no_endless_document(tmp_path: Path, make: Callable[[], bytes]) -> None:
    path = tmp_path / "loop.tiff"
    path.write_bytes(make())
    async with open_document(path, FileType.TIFF, limits=LIMITS) as document:
        assert document.total_pages <= 3


# Files that are no PDF, and parts of a document


@pytest.mark.parametrize("name", DISGUISED)
async def test_what_is_no_pdf_is_refused_even_with_the_magic_bytes_of_one(tmp_path: Path, name: str) -> None:
    data = DISGUISED[name]
    assert file_type(data) is None
    # The collection has the signature in a comment at the beginning; these are two more places.
    for disguise in (data[:40] + b"%PDF-1.7" + data[40:], b"%PDF-1.7\n" + data):
        assert file_type(disguise) is FileType.PDF
        path = tmp_path / "disguised.pdf"
        path.write_bytes(disguise)
        assert re.search(UNREADABLE, await outcome(path, FileType.PDF))


@pytest.mark.parametrize("ending", sorted({name.split(".")[1] for name in truncated()}))
async def test_a_document_cut_off_ends_with_a_picture_or_a_reason(tmp_path: Path, ending: str) -> None:
    cut = [data for name, data in truncated().items() if name.endswith(ending)]
    known = [(data, kind) for data in cut if (kind := file_type(data[:2048])) is not None]
    # A few of each kind here; `bench.corpus --bombs` takes them all.
    for data, kind in known[:: 1 + len(known) // 4]:
        path = tmp_path / "cut"
        path.write_bytes(data)
        assert re.search("rendered|damaged|No page", await outcome(path, kind))


# Through the whole service


@pytest.mark.slow
def test_hostile_uploads_end_with_a_reason_while_the_service_goes_on(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    hostile = {
        "laughs.pdf": billion_laughs(),
        "bomb.pdf": flate_bomb(),
        "many.pdf": many_pages(),
        "tree.pdf": circular_page_tree(),
        "noise.pdf": noise(),
        "disguised.pdf": b"<!-- %PDF-1.7 -->" + DISGUISED["html"],
        "huge.png": huge_png(),
        "text.png": png_text_bomb(),
        "loop.tiff": tiff_loop(),
    }
    with running(
        tmp_path,
        script=Script(),
        RENDER_SECONDS="2",
        TMPDIR=str(temporary),
        CHILD_MEMORY_BYTES=str(GIB),
    ) as services:
        web = psutil.Process(services.pid("web"))
        path = pdf(tmp_path / "good.pdf", 2)
        services.ended(services.upload(path))
        memory = web.memory_info().rss
        jobs = {}
        for name, data in hostile.items():
            (tmp_path / name).write_bytes(data)
            jobs[name] = services.upload(tmp_path / name)
        good = services.upload(path)

        def all_ended() -> bool:
            assert services.get("/health").status_code == 200
            return all(services.status(job)["status"] in ENDED for job in [*jobs.values(), good])

        services.until(all_ended, "every job to end", seconds=120)
        assert services.status(good)["status"] == "completed"
        for name, job_id in jobs.items():
            job = services.status(job_id)
            assert job["status"] in ("completed", "partial", "failed"), name
            assert job["status"] == "completed" or job["error"], name
        for name in DISGUISED:
            if name == "text":
                continue
            answer = httpx.post(f"{services.url}/upload", files={"file": ("a.pdf", DISGUISED[name])})
            assert answer.status_code == 415, name
        services.until(lambda: web.children(recursive=True) == [], "every child to be gone")
        assert list(temporary.iterdir()) == []
        assert list(services.storage.glob(".tmp/*")) == []
        assert web.memory_info().rss < memory + 300_000_000
        assert "request_failed" not in (services.logs / "web.log").read_text()
