"""What was asked: written once beside the upload, before the job's record exists."""

from datetime import datetime

import msgspec

from libs.codec import Codec, TornObject


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The client's wishes: pages as text (`None`: all), resolution in DPI, engine by name (`None`: default)."""

    pages: str | None = None
    dpi: int = 150
    engine: str | None = None


class FileInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The upload: the name its owner gave it, its type by content, its stored name, its size in bytes.

    `total_pages` counts the pages of the file, known once it has been opened.
    """

    filename: str
    file_type: str
    raw_file: str
    file_size: int
    total_pages: int = 0


class Intake(msgspec.Struct, frozen=True, kw_only=True):
    """`intake.json`: enough to build the job's record anew."""

    session_id: str
    user_email: str
    file_info: FileInfo
    options: Options
    created_at: datetime


class TornIntake(TornObject):
    """The stored intake cannot be decoded."""


_codec = Codec(Intake, TornIntake)
encode, decode = _codec.encode, _codec.decode
