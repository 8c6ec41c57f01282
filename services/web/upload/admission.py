"""What an upload may ask for and be: its options, its name, and the reasons to refuse it."""

from collections.abc import Mapping

from libs import workerstate
from libs.jobstate.intake import FileInfo, OcrMode, Options
from libs.jobstate.selection import parse_pages
from libs.languages import parse_languages
from libs.storage import layout
from services.serving.problem import Problem
from services.web.pageoptions import read_page_options
from services.web.render.filetype import FileType
from services.web.service import Web

#: The fields of an upload beside its file.
OPTIONS = ("pages", "dpi", "engine", "ocr", "languages", "password", "webhook")
#: Characters of a password at most. Chosen: a PDF counts the first 127 bytes at most (ISO 32000-2, 7.6.4).
MAX_PASSWORD = 255
#: Characters of a file's name that are kept.
MAX_NAME = 255
FORMATS = "PDF, PNG, JPEG, TIFF, WebP, BMP, GIF and JPEG 2000"


async def read_options(service: Web, fields: Mapping[str, str]) -> Options:
    """The job's options, from the fields that the client sent. Raises `Problem` 422."""
    pages = fields.get("pages", "").strip() or None
    if pages is not None:
        try:
            parse_pages(pages)
        except ValueError as error:
            raise Problem(422, "Bad field", str(error), "Correct the field pages, or leave it out.") from error
    given = await read_page_options(service.store, fields)
    webhook = fields.get("webhook", "").strip() or None
    if webhook is not None:
        service.webhooks.settings.check(webhook)
    return Options(
        pages=pages,
        dpi=given.dpi or 150,
        engine=given.engine,
        ocr=given.ocr or OcrMode.AUTO,
        languages=await _read_languages(service, fields.get("languages", ""), given.engine),
        has_password=read_password(fields) is not None,
        webhook=webhook,
    )


async def _read_languages(service: Web, text: str, engine: str | None) -> tuple[str, ...]:
    """The languages that the text names, which the engine can read. Raises `Problem` 422."""
    try:
        languages = parse_languages(text)
    except ValueError as error:
        raise Problem(422, "Bad field", str(error), "Correct the field languages, or leave it out.") from error
    if not languages:
        return ()
    state = await workerstate.read(service.store)
    name = state.engine if engine in (None, "auto") else engine
    readable = state.languages.get(name or "")
    if readable is not None and (missing := [code for code in languages if code not in readable]):
        raise Problem(
            422,
            "Bad field",
            f"The engine {name} does not read the language {missing[0]} here.",
            f"Leave languages out, or name some of: {', '.join(readable) or 'none'}.",
        )
    return languages


def read_password(fields: Mapping[str, str]) -> str | None:
    """The password of the document, character for character; `None` where none was sent. Raises `Problem` 422.

    Keep it with `libs.jobstate.password.keep`, before the job is made, and nowhere else.
    """
    password = fields.get("password", "")
    if len(password) > MAX_PASSWORD or "\0" in password:
        raise Problem(
            422,
            "Bad field",
            f"password has at most {MAX_PASSWORD} characters, and none of them is NUL.",
            "Send the password that opens the PDF, or leave it out.",
        )
    return password or None


def file_info(filename: str | None, kind: FileType, size: int) -> FileInfo:
    """The file of an upload, by the name that the client gave it, if any, its type by content, its size in bytes."""
    raw_file = layout.upload_name(filename)
    name = raw_file if filename is None else _display_name(filename)
    return FileInfo(filename=name, file_type=kind, raw_file=raw_file, file_size=size)


def empty() -> Problem:
    """400 for a file without bytes."""
    return Problem(400, "Empty file", "The file has no bytes.", "Choose a file that is not empty.")


def unsupported() -> Problem:
    """415 for a file whose first bytes are of no supported type."""
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


def _display_name(filename: str) -> str:
    """The client's name for the file, made fit to show: one line, no directories, `MAX_NAME` characters."""
    last = filename.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(c for c in last if c.isprintable())[:MAX_NAME] or "upload"
