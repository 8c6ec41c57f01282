"""olmOCR-2: Markdown below a head of YAML.

Prompt and format are those of https://github.com/allenai/olmocr (`build_no_anchoring_v4_yaml_prompt`, `PageResponse`,
Apache-2.0): the longer side of the page has 1,288 pixels, the text of the prompt comes before the image, and the answer
begins with primary_language, is_rotation_valid, rotation_correction (the clockwise turn that the page needs), is_table
and is_diagram. Pictures are links such as `![...](page_x_y_width_height.png)`.
"""

import re

import msgspec

from libs.page.block import Rect
from services.worker.engines.pixel_limits import PixelLimits
from services.worker.engines.profiles import boxes
from services.worker.engines.profiles.pictures import with_pictures
from services.worker.engines.profiles.profile import Answer, Profile, Score, View
from services.worker.engines.profiles.wrapping import clean

# The model was trained on this wording, its spelling of LaTeX included.
PROMPT = (
    "Attached is one page of a document that you must process. "
    "Just return the plain text representation of this document as if you were reading it naturally. "
    "Convert equations to LateX and tables to HTML.\n"
    "If there are any figures or charts, label them with the following markdown syntax "
    "![Alt text describing the contents of the figure](page_startx_starty_width_height.png)\n"
    "Return your output as markdown, with a front matter section on top specifying values for the primary_language, "
    "is_rotation_valid, rotation_correction, is_table, and is_diagram parameters."
)
_HEAD = re.compile(r"---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_FIELD = re.compile(r"(\w+):[ \t]*(.*)")
_VALUES = {
    "primary_language": re.compile(r"null|[\w-]{1,20}"),
    "is_rotation_valid": re.compile(r"true|false", re.IGNORECASE),
    "rotation_correction": re.compile(r"0|90|180|270"),
    "is_table": re.compile(r"true|false", re.IGNORECASE),
    "is_diagram": re.compile(r"true|false", re.IGNORECASE),
}
_PICTURE = re.compile(
    r"^[ \t]*!\[(?P<text>[^\]\n]*)\]\(page(?:_(\d+)_(\d+)_(\d+)_(\d+))?[^()\s]*\)[ \t]*$", re.MULTILINE
)
# An answer for a page without text.
_NOTHING = "null"


def read(text: str, view: View) -> Answer:
    """Markdown below its head. A head that is not as documented stays as text."""
    text = clean(text)
    head, malformed = None, False
    if text.startswith("---\n"):
        found = _HEAD.match(text)
        head = _fields(found[1]) if found else None
        malformed = head is None
        if found and head is not None:
            text = text[found.end() :].strip()
    if text == _NOTHING:
        text = ""

    def box_of(picture: re.Match[str]) -> tuple[Rect | None, bool]:
        if picture[2] is None:
            return None, False
        left, top, width, height = (int(picture[group][:9]) for group in (2, 3, 4, 5))
        box = boxes.from_shown((left, top, left + width, top + height), view)
        return box, box is None

    answer = with_pictures(text, _PICTURE, box_of)
    turn = 0 if head is None or head.get("is_rotation_valid", "true").lower() == "true" else _turn(head)
    return msgspec.structs.replace(answer, malformed=malformed or answer.malformed, turn=turn)


def _fields(head: str) -> dict[str, str] | None:
    """The head's fields; None where a line is none of them, so that no text of the page is taken for one."""
    fields: dict[str, str] = {}
    for line in filter(None, map(str.strip, head.split("\n"))):
        found = _FIELD.fullmatch(line)
        if found is None or found[1] not in _VALUES or not _VALUES[found[1]].fullmatch(found[2].strip()):
            return None
        fields[found[1]] = found[2].strip()
    return fields


def _turn(head: dict[str, str]) -> int:
    return int(head.get("rotation_correction", "0"))


PROFILE = Profile(
    name="olmocr-2",
    model="allenai/olmOCR-2-7B-1025",
    names=("olmocr",),
    prompt=PROMPT,
    read=read,
    limits=PixelLimits(min_pixels=56 * 56, max_pixels=1288 * 1288, max_side=1288),
    image_first=False,
    # olmOCR's pipeline begins at 0.1. Chosen: greedy decoding is repeatable, and retries get warmer as theirs do.
    temperature=0.0,
    billions=8.3,
    licence="Apache-2.0",
    scores=(Score(value=82.4, benchmark="olmOCR-bench", source="olmOCR's table"),),
    serve="vllm serve allenai/olmOCR-2-7B-1025-FP8 --max-model-len 16384 --limit-mm-per-prompt '{\"image\": 1}'",
)
