"""The intake: owner, file and options of a job, written once beside the upload, before the job's record."""

from datetime import datetime
from enum import StrEnum

import msgspec

from libs.codec import Codec, TornObject


class OcrMode(StrEnum):
    """Whether pages are recognised that have text of their own."""

    #: Only where their own text is not trusted.
    AUTO = "auto"
    #: Always.
    FORCE = "force"
    #: Never: their own text is taken as it is, and a page without any fails.
    TEXT = "text"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the client chose."""

    #: A page selection such as "1-5,8"; `None` is every page.
    pages: str | None = None
    #: Dots per inch at which PDF pages are rendered.
    dpi: int = 150
    #: An engine by its name; `None` is the worker's default.
    engine: str | None = None
    #: A client that names none gets `AUTO`; a job from before the option existed was, and is, read with `FORCE`.
    ocr: OcrMode = OcrMode.FORCE
    #: The languages of the document, by `libs.languages`; empty: those of the worker's settings.
    languages: tuple[str, ...] = ()
    #: Whether a password came with the document. It is kept elsewhere: `libs.jobstate.password`.
    has_password: bool = False
    #: The address that is told of the job's end.
    webhook: str | None = None


class PageOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a retry asks for of the pages that it reads again; `None` is what the job's own options say."""

    engine: str | None = None
    ocr: OcrMode | None = None
    #: Dots per inch; `None` also for a file that is not rendered from a PDF.
    dpi: int | None = None


class FileInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The uploaded file."""

    #: The name that its owner gave it.
    filename: str
    #: By its content, such as "pdf".
    file_type: str
    #: The name under which it is stored.
    raw_file: str
    #: In bytes.
    file_size: int
    #: The pages of the file; 0 until it has been opened.
    total_pages: int = 0
    #: The file is damaged: its pages were found by searching, and `total_pages` may lack some.
    repaired: bool = False


class Intake(msgspec.Struct, frozen=True, kw_only=True):
    """`intake.json`: enough to rebuild the job's record from."""

    session_id: str
    user_email: str
    file_info: FileInfo
    options: Options
    created_at: datetime
    #: The end of the job is told by webhooks: that of the options, or one for all jobs.
    notify: bool = False


class TornIntake(TornObject):
    """The stored intake cannot be decoded."""


_codec = Codec(Intake, TornIntake)
encode, decode = _codec.encode, _codec.decode
