"""What a client of docling-serve asks for, and the task id that carries it to the requests that follow."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

import msgspec

from libs.jobstate.intake import OcrMode
from services.serving.problem import Problem
from services.web.frontdoors.docling.result import Format, Wanted

#: Characters of a page break at most. Chosen: it is part of the task id, which is part of an address.
MAX_PAGE_BREAK = 100
#: Bytes of the options in JSON at most. Chosen: far more than the longest that clients send.
MAX_OPTIONS_BYTES = 100_000
# What clients write for a last page that is open.
_OPEN_END = 10**8
_FORMATS = {**{each.value: each for each in Format}, "html_split_page": Format.HTML}


class ConvertOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options that have a meaning here; those of other names are ignored."""

    to_formats: tuple[str, ...] | str = ("md",)
    #: The first page and the last, from 1.
    page_range: tuple[int, ...] | None = None
    do_ocr: bool = True
    force_ocr: bool = False
    md_page_break_placeholder: str = ""

    @property
    def wanted(self) -> Wanted:
        """The forms of the result. Raises `Problem` 422."""
        names = (self.to_formats,) if isinstance(self.to_formats, str) else self.to_formats
        if unknown := [name for name in names if name not in _FORMATS]:
            raise Problem(
                422,
                "Bad field",
                f"to_formats has {unknown[0][:40]!r}, which this service does not write.",
                f"Ask for some of: {', '.join(Format)}.",
            )
        if len(self.md_page_break_placeholder) > MAX_PAGE_BREAK:
            raise Problem(
                422,
                "Bad field",
                f"md_page_break_placeholder has more than {MAX_PAGE_BREAK} characters.",
                "Choose a shorter one.",
            )
        formats = frozenset(_FORMATS[name] for name in names)
        return Wanted(formats=formats or frozenset({Format.MD}), page_break=self.md_page_break_placeholder)

    @property
    def job_fields(self) -> dict[str, str]:
        """The same as fields of an upload. Raises `Problem` 422."""
        fields = {"ocr": OcrMode.FORCE if self.force_ocr else OcrMode.AUTO if self.do_ocr else OcrMode.TEXT}
        if self.page_range is None:
            return dict(fields)
        if len(self.page_range) != 2 or not 1 <= self.page_range[0] <= self.page_range[1]:
            raise Problem(422, "Bad field", "page_range is the first page and the last, from 1.", "Send 1 and 5.")
        first, last = self.page_range
        if first == 1 and last >= _OPEN_END:
            return dict(fields)
        return {**fields, "pages": f"{first}-" if last >= _OPEN_END else f"{first}-{last}"}


def options_of(fields: Mapping[str, tuple[str, ...]]) -> ConvertOptions:
    """The options in a form's fields. Raises `Problem` 422."""
    members: dict[str, Any] = {}
    for name in ConvertOptions.__struct_fields__:
        values = fields.get(name, ())
        if name in ("to_formats", "page_range"):
            listed = [item for value in values for item in _listed(value)]
            members |= {name: listed} if listed else {}
        elif values:
            members[name] = values[-1]
    try:
        return msgspec.convert(members, ConvertOptions, strict=False)
    except msgspec.ValidationError as error:
        raise _bad(error) from error


def options_in(data: bytes) -> ConvertOptions:
    """The options in JSON. Raises `Problem` 422."""
    if len(data) > MAX_OPTIONS_BYTES:
        raise Problem(422, "Bad field", f"options has more than {MAX_OPTIONS_BYTES:,} bytes.", "Send fewer options.")
    try:
        return msgspec.json.decode(data, type=ConvertOptions, strict=False)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise _bad(error) from error


def _bad(error: Exception) -> Problem:
    return Problem(422, "Bad field", f"{error}.", "Leave the field out, or correct it.")


class TaskId(msgspec.Struct, frozen=True, kw_only=True):
    """A job, and what a client wants of its result: asking for the result, clients name the task alone."""

    job_id: str
    wanted: Wanted = Wanted()
    #: The result is an archive.
    zipped: bool = False

    def __str__(self) -> str:
        if self == TaskId(job_id=self.job_id):
            return self.job_id
        data = msgspec.json.encode((sorted(self.wanted.formats), self.wanted.page_break, self.zipped))
        return f"{self.job_id}.{base64.urlsafe_b64encode(data).decode().rstrip('=')}"

    @classmethod
    def parse(cls, text: str) -> "TaskId":
        """The task of an address. Raises `ValueError`."""
        job_id, _, code = text.partition(".")
        if not code:
            return cls(job_id=job_id)
        try:
            data = base64.urlsafe_b64decode(code + "=" * (-len(code) % 4))
            formats, page_break, zipped = msgspec.json.decode(data, type=tuple[frozenset[Format], str, bool])
        except (binascii.Error, msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise ValueError("not a task") from error
        return cls(job_id=job_id, wanted=Wanted(formats=formats, page_break=page_break), zipped=zipped)


def _listed(value: str) -> list[Any]:
    """The items of a field that may be a JSON list."""
    try:
        items = json.loads(value)
    except (ValueError, RecursionError):
        return [value]
    return items if isinstance(items, list) else [value]
