"""An engine that follows a script: for tests of everything around an engine.

`OCR_ENGINE=tests.scripted:create` plugs it into a real worker; the environment variable `SCRIPT` holds the script as
JSON. Each page read is a line of the journal file, so a test can count how often each page was read, across processes.
"""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec

from libs.page.block import Block, BlockKind, Line, enclosing
from libs.page.markdown import to_markdown
from libs.page.trust import Trust
from services.worker.engines.engine import EngineInfo, Finish, PageFailure, PageImage, PageText, Try


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """What happens on which pages, by their numbers.

    `seconds` is how long a page takes; `journal` is a file path; `written` is the Markdown that stands on a page,
    `printed` the text of its one line, and `laid` what stands above that line.
    """

    seconds: float = 0.0
    load_seconds: float = 0.0
    journal: str = ""
    fail: tuple[int, ...] = ()
    blank: tuple[int, ...] = ()
    trust: dict[int, float] = {}
    stand_in: tuple[int, ...] = ()
    written: dict[int, str] = {}
    printed: dict[int, str] = {}
    laid: dict[int, tuple[Block, ...]] = {}
    hang: tuple[int, ...] = ()
    crash: tuple[int, ...] = ()
    explode: tuple[int, ...] = ()


def create(*, threads: int) -> "ScriptedEngine":
    """The engine for the script in the environment."""
    return ScriptedEngine(msgspec.json.decode(os.environ.get("SCRIPT", "{}"), type=Script))


class ScriptedEngine:
    """Reads `Page N <digest of the image>` on page N, unless the script says otherwise."""

    #: The script says what is on a page, whatever the page itself says.
    sees_every_page = True

    def __init__(self, script: Script) -> None:
        self._script = script

    async def load(self) -> None:
        """Take the time that loading takes."""
        await asyncio.sleep(self._script.load_seconds)

    async def recognise(self, pages: AsyncIterator[PageImage]) -> AsyncIterator[PageText | PageFailure]:
        """Read the pages one by one."""
        async for page in pages:
            yield await self._read(page)

    def info(self) -> EngineInfo:
        """A made-up engine."""
        return EngineInfo(name="scripted", revision="1", device="none")

    async def _read(self, page: PageImage) -> PageText | PageFailure:
        script = self._script
        began = time.monotonic()
        if script.journal:
            await asyncio.to_thread(_note, Path(script.journal), page.page_no)
        if page.page_no in script.hang:
            await asyncio.Event().wait()
        if page.page_no in script.crash:
            os._exit(139)
        if page.page_no in script.explode:
            raise RuntimeError("told to explode")
        await asyncio.sleep(script.seconds)
        seconds = time.monotonic() - began
        if page.page_no in script.fail:
            return PageFailure(page_no=page.page_no, reason="Told to fail.", seconds=seconds)
        if page.page_no in script.blank:
            return PageText(page_no=page.page_no, markdown="", finish=Finish.BLANK, seconds=seconds)
        if page.page_no in script.stand_in:
            info = EngineInfo(name="spare", revision="1", device="none")
            return PageText(
                page_no=page.page_no,
                markdown="Read by the spare.",
                finish=Finish.STOP,
                seconds=seconds,
                engine=info,
                fallback="The engine scripted repeated itself.",
                tries=(Try(engine="scripted", ending="loop", tokens=300), Try(engine="spare", ending="stop")),
                tokens=300,
            )
        if (written := script.written.get(page.page_no)) is not None:
            return PageText(page_no=page.page_no, markdown=written, finish=Finish.STOP, seconds=seconds)
        text = script.printed.get(page.page_no) or text_of(page.page_no, page.data)
        line = Line(text=text, box=((0, 0), (9, 0), (9, 9), (0, 9)), confidence=1.0)
        laid = script.laid.get(page.page_no, ())
        blocks = (*laid, Block(kind=BlockKind.PARAGRAPH, text=text, box=enclosing((line,)), lines=(line,)))
        return PageText(
            page_no=page.page_no,
            markdown=to_markdown(blocks) if laid else text,
            finish=Finish.STOP,
            seconds=seconds,
            blocks=blocks,
            trust=Trust(figure=figure) if (figure := script.trust.get(page.page_no)) is not None else None,
        )


def text_of(page_no: int, image: bytes) -> str:
    """What the engine reads on this image."""
    return f"Page {page_no} {hashlib.sha256(image).hexdigest()[:12]}"


def _note(journal: Path, page_no: int) -> None:
    with journal.open("a") as lines:
        lines.write(f"{page_no}\n")


class Spare:
    """A fallback engine that calls `read` for each page; an empty text is a failure."""

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read

    async def load(self) -> None:
        """Nothing to load."""

    async def recognise(self, pages: AsyncIterator[PageImage]) -> AsyncIterator[PageText | PageFailure]:
        """Call `read` once a page."""
        async for page in pages:
            if text := self._read():
                yield PageText(page_no=page.page_no, markdown=text, finish=Finish.STOP, seconds=0.1)
            else:
                yield PageFailure(page_no=page.page_no, reason="Told to fail.", seconds=0.1)

    def info(self) -> EngineInfo:
        """A made-up engine."""
        return EngineInfo(name="spare", revision="1", device="none")


def _hang() -> str:
    time.sleep(600)
    return ""


def _explode() -> str:
    raise RuntimeError("told to explode")


def spare(*, threads: int) -> Spare:
    """Reads every page."""
    return Spare(lambda: "Read by the spare.")


def spare_that_refuses(*, threads: int) -> Spare:
    """Reads no page."""
    return Spare(lambda: "")


def spare_that_crashes(*, threads: int) -> Spare:
    """Ends its process."""
    return Spare(lambda: os._exit(139))


def spare_that_explodes(*, threads: int) -> Spare:
    """Raises."""
    return Spare(_explode)


def spare_that_eats(*, threads: int) -> Spare:
    """Takes two gigabytes."""
    return Spare(lambda: str(len(bytes(2 * 1024**3))))


def spare_that_hangs(*, threads: int) -> Spare:
    """Never answers."""
    return Spare(_hang)


def spare_that_tells(*, threads: int) -> Spare:
    """Reads the names of its environment."""
    return Spare(lambda: " ".join(os.environ))
