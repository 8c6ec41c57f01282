"""dots.ocr: JSON with a box, a category and the text of each part of the page.

Prompt, categories, boxes and sampling are those of https://github.com/rednote-hilab/dots.ocr (MIT; `utils/prompts.py`,
`model/inference.py`, `utils/layout_utils.py`): `[{"bbox": [x1, y1, x2, y2], "category": "Text", "text": "..."}, ...]`
in reading order, boxes in pixels of the image as the model sees it, tables as HTML, formulas as LaTeX, the rest
Markdown, and pictures without a text.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from libs.page.block import Block, BlockKind
from libs.page.transcript import parse
from services.worker.engines.pixel_limits import PixelLimits
from services.worker.engines.profiles import boxes, kinds
from services.worker.engines.profiles.profile import Answer, Profile, Score, View
from services.worker.engines.profiles.wrapping import clean

# The model was trained on this wording.
_REQUEST = """\
Please output the layout information from the PDF image, including each layout element's bbox, its category, and the \
corresponding text content within the bbox.

1. Bbox format: [x1, y1, x2, y2]

2. Layout Categories: The possible categories are ['Caption', 'Footnote', 'Formula', 'List-item', 'Page-footer', \
'Page-header', 'Picture', 'Section-header', 'Table', 'Text', 'Title'].

3. Text Extraction & Formatting Rules:
    - Picture: For the 'Picture' category, the text field should be omitted.
    - Formula: Format its text as LaTeX.
    - Table: Format its text as HTML.
    - All Others (Text, Title, etc.): Format their text as Markdown.

4. Constraints:
    - The output text must be the original text from the image, with no translation.
    - All layout elements must be sorted according to human reading order.

5. Final Output: The entire output must be a single JSON object.
"""
# The image's place: without it vLLM would add a line break that the model was not trained on.
PROMPT = "<|img|><|imgpad|><|endofimg|>" + _REQUEST
_KINDS = {
    "Caption": BlockKind.CAPTION,
    "Footnote": BlockKind.FOOTNOTE,
    "Formula": BlockKind.FORMULA,
    "List-item": BlockKind.LIST_ITEM,
    "Page-footer": BlockKind.PAGE_FOOTER,
    "Page-header": BlockKind.PAGE_HEADER,
    "Picture": BlockKind.FIGURE,
    "Section-header": BlockKind.HEADING,
    "Title": BlockKind.TITLE,
}
_CATEGORIES = (*_KINDS, "Text", "Table")
_FIELDS = frozenset({"bbox", "category", "text"})
# Braces that begin no element, past which no further one is looked for: each costs a look at what follows it. Chosen: a
# page has hardly as many.
_MAX_STRAY = 500
# What stands between the elements of a list.
_BETWEEN = re.compile(r"[\s,\[\]]*")


class _Unread(str):
    """A piece of the answer that is no element as documented."""


def read(text: str, view: View) -> Answer:
    """The elements in their order. What is no element stays as text: an answer without JSON is taken as Markdown."""
    text = clean(text, languages=("json", "markdown", "md"))
    blocks: list[Block] = []
    malformed = False
    for element in _elements(text):
        found = None if isinstance(element, _Unread) else _blocks(element, view)
        if found is None:
            malformed = True
            written = element if isinstance(element, str) else json.dumps(element, ensure_ascii=False)
            blocks.extend(parse(written))
            continue
        made, wrong = found
        malformed = malformed or wrong
        blocks.extend(made)
    return Answer(blocks=tuple(blocks), malformed=malformed)


def _elements(text: str) -> Iterator[Any]:
    """The elements of the list; what is none is an `_Unread`."""
    try:
        whole = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        yield from _rescued(text)
        return
    # Some answers have the list as the only value of an object.
    if isinstance(whole, dict) and not _FIELDS & whole.keys() and len(whole) == 1:
        whole = next(iter(whole.values()))
    if isinstance(whole, list):
        yield from whole
    else:
        yield whole if isinstance(whole, dict) else _Unread(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; one with a key twice keeps both values, and is no element."""
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) else {"": pairs}


def _rescued(text: str) -> Iterator[Any]:
    """The elements that are whole in JSON that is not, and the pieces between them."""
    decoder = json.JSONDecoder(object_pairs_hook=_object)
    at = begun = stray = 0
    while stray < _MAX_STRAY and (start := text.find("{", at)) >= 0:
        try:
            element, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            element = None
        if not isinstance(element, dict) or "bbox" not in element:
            at, stray = start + 1, stray + 1
            continue
        yield from _unread(text[begun:start])
        yield element
        at = begun = _BETWEEN.match(text, end).end()  # type: ignore[union-attr]  # it matches an empty piece too
    yield from _unread(text[begun:])


def _unread(piece: str) -> Iterator[_Unread]:
    if not _BETWEEN.fullmatch(piece):
        yield _Unread(piece.strip())


def _blocks(element: Any, view: View) -> tuple[list[Block], bool] | None:
    """The blocks of an element, and whether its box is wrong; None where it is not as documented."""
    if not isinstance(element, dict) or not element.keys() <= _FIELDS:
        return None
    category, text = element.get("category", "Text"), element.get("text")
    text = "" if text is None else text
    if category not in _CATEGORIES or not isinstance(text, str):
        return None
    box = boxes.from_shown(element.get("bbox"), view)
    kind = _KINDS.get(category)
    if kind is BlockKind.FORMULA:
        made = [kinds.formula(text)] if text.strip() else []
    elif kind is BlockKind.FIGURE:
        made = [Block(kind=kind, text=text.strip())]
    else:
        made = list(kinds.recast(parse(clean(text)), kind))
    wrong_table = category == "Table" and not any(block.kind is BlockKind.TABLE for block in made)
    return list(boxes.placed(made, box)), box is None or wrong_table


PROFILE = Profile(
    name="dots.ocr",
    model="rednote-hilab/dots.ocr",
    names=("dots.ocr", "dots-ocr", "dots.mocr"),
    prompt=PROMPT,
    read=read,
    limits=PixelLimits(min_pixels=3136, max_pixels=11_289_600),
    temperature=0.1,
    fields={"top_p": 0.9},
    billions=3.0,
    licence="MIT, with further terms of its maker",
    scores=(Score(value=79.1, benchmark="olmOCR-bench", source="its own README"),),
    serve="vllm serve rednote-hilab/dots.ocr --trust-remote-code --chat-template-content-format string",
)
