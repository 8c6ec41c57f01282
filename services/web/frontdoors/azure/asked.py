"""What a client of Azure asks for: how the answer is written, and whether a searchable PDF comes with it.

The address that the client polls carries it, so that nothing has to be stored beside the job.
"""

from collections.abc import Iterable, Mapping
from urllib.parse import urlencode

import msgspec

from services.serving.problem import Problem
from services.web.frontdoors.azure.content import ContentFormat
from services.web.frontdoors.azure.objects import API_VERSION
from services.web.frontdoors.azure.offsets import StringIndex

#: The models that are answered: both read the same and differ in name alone.
MODELS = ("prebuilt-read", "prebuilt-layout")

_INDEXES = {
    "textElements": StringIndex.CODE_POINTS,
    "unicodeCodePoint": StringIndex.CODE_POINTS,
    "utf16CodeUnit": StringIndex.UTF16,
}
_PDF = "pdf"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """How a document's `analyzeResult` is answered."""

    content_format: ContentFormat = ContentFormat.TEXT
    string_index: StringIndex = StringIndex.CODE_POINTS
    #: Whether the operation has succeeded only once the searchable PDF is made.
    pdf: bool = False

    def query(self) -> str:
        """The same as a query of an address, with the version of the interface."""
        index = next(name for name, index in _INDEXES.items() if index is self.string_index)
        members = {
            "api-version": API_VERSION,
            "outputContentFormat": self.content_format.value,
            "stringIndexType": index,
            **({"output": _PDF} if self.pdf else {}),
        }
        return urlencode(members)


def wanted(query: Mapping[str, str]) -> Wanted:
    """What the query of an address asks for. Raises `Problem` 400."""
    content_format = query.get("outputContentFormat", ContentFormat.TEXT)
    if content_format not in tuple(ContentFormat):
        raise _bad("outputContentFormat", ContentFormat)
    index = query.get("stringIndexType", "textElements")
    if index not in _INDEXES:
        raise _bad("stringIndexType", _INDEXES)
    outputs = [output.strip() for output in query.get("output", "").split(",")]
    return Wanted(content_format=ContentFormat(content_format), string_index=_INDEXES[index], pdf=_PDF in outputs)


def check_model(model: str) -> None:
    """Raise `Problem` 404 for a model that is not answered."""
    if model not in MODELS:
        raise Problem(404, "Model not found", "There is no model of this name.", f"Use {' or '.join(MODELS)}.")


def _bad(name: str, values: Iterable[str]) -> Problem:
    names = ", ".join(values)
    return Problem(400, "Bad argument", f"{name} is one of {names}.", "Leave it out for the first.")
