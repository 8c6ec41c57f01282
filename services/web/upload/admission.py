"""What every upload must keep to, in one request or in many."""

import msgspec

from libs.jobstate.intake import Options
from libs.jobstate.selection import parse_pages
from libs.storage import layout
from libs.storage.errors import NotFound
from libs.storage.session import SessionFiles
from libs.storage.store import ObjectStore
from services.serving.problem import Problem

MIN_DPI, MAX_DPI = 72, 400
FORMATS = "PDF, PNG, JPEG, TIFF, WebP, BMP, GIF and JPEG 2000"


async def check_room(files: SessionFiles, most: int) -> None:
    """Refuse a user who has `most` active jobs already: `Problem` 429.

    The session is announced already and counts by its place among the user's: of uploads that race for the last
    place exactly one gets it. An id begins with its time, so whoever came first stays first.
    """
    prefix = f"{layout.ACTIVE}{files.user_hash}/"
    before = [stat.path async for stat in files.store.list(prefix) if stat.path < prefix + files.session_id]
    if len(before) >= most:
        raise Problem(
            429,
            "Too many active jobs",
            f"You have {len(before)} jobs that have not ended.",
            "Wait for one to end, or cancel one.",
            headers={"Retry-After": "30"},
        )


async def read_options(store: ObjectStore, fields: dict[str, str]) -> Options:
    """The job's options from what the client named. Raises `Problem` 422."""
    pages = fields.get("pages", "").strip() or None
    if pages is not None:
        try:
            parse_pages(pages)
        except ValueError as error:
            raise Problem(422, "Bad field", str(error), "Correct the field pages, or leave it out.") from error
    dpi = fields.get("dpi", "").strip() or "150"
    if not dpi.isascii() or not dpi.isdigit() or len(dpi) > 9 or not MIN_DPI <= int(dpi) <= MAX_DPI:
        raise Problem(
            422,
            "Bad field",
            f"dpi is a whole number from {MIN_DPI} to {MAX_DPI}.",
            "150 suits most documents.",
        )
    engine = fields.get("engine", "").strip() or None
    if engine is not None and engine not in (known := await _engines(store)):
        names = ", ".join(known) or "none yet: the worker has not started"
        raise Problem(
            422, "Bad field", "There is no engine of that name.", f"Leave engine out or name one of: {names}."
        )
    return Options(pages=pages, dpi=int(dpi), engine=engine)


def shown(filename: str) -> str:
    """The owner's name for the file, as far as it may be shown: one line, no directories, 255 characters."""
    last = filename.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(c for c in last if c.isprintable())[:255] or "upload"


def empty() -> Problem:
    """400 for a file of no bytes."""
    return Problem(400, "Empty file", "The file has no bytes.", "Choose a file that is not empty.")


def unsupported() -> Problem:
    """415 for a file whose first bytes are of no kind that we read."""
    return Problem(
        415,
        "Unsupported file",
        "The content is neither a PDF nor a supported image, whatever the name says.",
        f"Supported: {FORMATS}.",
    )


def too_large(most: int) -> Problem:
    """413 for a file of more than `most` bytes."""
    return Problem(
        413,
        "File too large",
        f"A file may have at most {most:,} bytes.",
        "Split the document and upload the parts.",
    )


async def _engines(store: ObjectStore) -> list[str]:
    """What the worker said it has; an absent worker has none."""
    try:
        state = msgspec.json.decode((await store.read(layout.WORKER_STATE)).data, type=dict[str, object])
    except (NotFound, msgspec.DecodeError):
        return []
    engines = state.get("engines")
    return [str(name) for name in engines] if isinstance(engines, list) else []
