"""What goes in: documents whose every page has a fate, known beforehand."""

import random
import zlib
from enum import StrEnum

import msgspec

# A page of a document, by the document's token and the page's number.
Key = tuple[str, int]

# The engine of a job that names none, one that is as good, and one that fails on some of the pages.
ENGINE, OTHER, WEAK = "simulated", "other", "weak"
# The resolution of a job that names none, and one at which some pages cannot be drawn.
DPI, LARGE = 150, 400

# Why the renderer refuses a document without its password.
LOCKED = "Told to want its password."

HEADER = b"%PDF-1.7 simulated\n"
SUFFIXES = (".pdf", ".tiff")


class Fate(StrEnum):
    """What becomes of a page."""

    TEXT = "text"  # is read
    BLANK = "blank"  # is read, and nothing is on it
    FAILS = "fails"  # the engine gives it up
    POISON = "poison"  # kills the process that reads it, `times` times
    HANGS = "hangs"  # never ends, `times` times
    BREAKS = "breaks"  # makes the engine fail as a whole, `times` times
    UNDRAWN = "undrawn"  # the renderer gives it up


class PageScript(msgspec.Struct, frozen=True, kw_only=True):
    """`times`: how often before the page is read after all; `seconds` of engine time."""

    fate: Fate = Fate.TEXT
    times: int = 0
    seconds: float = 1.0
    draw_seconds: float = 0.1


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A document as its user has it. `unreadable`: the renderer refuses it. `password`: it refuses all others."""

    token: str
    unreadable: bool = False
    password: str | None = None
    selection: str | None = None
    pages: tuple[PageScript, ...]

    def requested(self) -> tuple[int, ...]:
        """The page numbers that have to end as something."""
        return tuple(range(1, len(self.pages) + 1))

    def file(self) -> bytes:
        """The upload."""
        return HEADER + self.token.encode()


def token_of(file: bytes) -> str:
    """Whose upload this is: the token is its last line."""
    return file.rpartition(b"\n")[2].decode()


def image(token: str, page_no: int, dpi: int) -> bytes:
    """The picture of a page, from which the engine knows what to read."""
    return f"image {token} {page_no} {dpi}".encode()


def of_image(data: bytes) -> tuple[str, int]:
    """Whose picture this is."""
    _, token, page_no, _ = data.decode().split()
    return token, int(page_no)


def dpi_of_image(data: bytes) -> int:
    """At which resolution it was drawn."""
    return int(data.decode().split()[3])


def text(token: str, page_no: int) -> str:
    """What every right reading of the page begins with."""
    return f"Page {page_no} of {token}"


def spare_reads(key: Key) -> bool:
    """Whether the fallback engine can read a page that its engine cannot. Not drawn: fates are as they were."""
    return zlib.crc32(repr(key).encode()) % 3 > 0


def reads(key: Key, engine: str) -> bool:
    """Whether the engine can read a page that others can."""
    return engine != WEAK or zlib.crc32(repr((key, engine)).encode()) % 3 > 0


def draws(key: Key, dpi: int) -> bool:
    """Whether a page can be drawn at this resolution that can be at others."""
    return dpi != LARGE or zlib.crc32(repr((key, dpi)).encode()) % 4 > 0


def write(rng: random.Random, token: str) -> Document:
    """Make up a document."""
    count = rng.choice((1, 1, 2, 3, 5, 8, 13, 21, 40))
    trouble = rng.choice((0.0, 0.0, 0.05, 0.2))
    pace = rng.choice((0.05, 0.5, 2.0, 5.0))
    draw = rng.choice((0.01, 0.2, 1.0))
    return Document(
        token=token,
        unreadable=rng.random() < 0.03,
        pages=tuple(_page(rng, trouble, pace, draw) for _ in range(count)),
    )


def _page(rng: random.Random, trouble: float, pace: float, draw: float) -> PageScript:
    fate = Fate.TEXT
    if rng.random() < 0.05:
        fate = Fate.BLANK
    if rng.random() < trouble:
        fate = rng.choice((Fate.FAILS, Fate.POISON, Fate.HANGS, Fate.BREAKS, Fate.UNDRAWN))
    return PageScript(
        fate=fate,
        times=rng.choice((1, 2, 5, 1000)),
        seconds=pace * rng.uniform(0.5, 1.5),
        draw_seconds=draw * rng.uniform(0.5, 1.5),
    )
