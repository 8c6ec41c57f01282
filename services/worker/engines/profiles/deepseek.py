"""DeepSeek-OCR-2: Markdown whose parts are preceded by their kind and place.

Prompt, format and sampling are those of https://github.com/deepseek-ai/DeepSeek-OCR-2 (Apache-2.0; `config.py`,
`run_dpsk_ocr2_pdf.py`) and of vLLM's recipe for DeepSeek-OCR: `<|ref|>title<|/ref|><|det|>[[x1, y1, x2, y2]]<|/det|>`,
boxes in 999ths of the page's sides. These marks are special tokens, which a server leaves out unless asked.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from libs.page.block import Block, BlockKind, Rect
from libs.page.transcript import parse
from services.worker.engines.pixel_limits import PixelLimits
from services.worker.engines.profiles import boxes, kinds
from services.worker.engines.profiles.profile import Answer, Profile, Score, View
from services.worker.engines.profiles.wrapping import clean

_KINDS = {
    "title": BlockKind.TITLE,
    "sub_title": BlockKind.HEADING,
    "image": BlockKind.FIGURE,
    "image_caption": BlockKind.CAPTION,
    "table_caption": BlockKind.CAPTION,
    "table_footnote": BlockKind.FOOTNOTE,
    "page_footnote": BlockKind.FOOTNOTE,
    "equation": BlockKind.FORMULA,
    "interline_equation": BlockKind.FORMULA,
    "header": BlockKind.PAGE_HEADER,
    "footer": BlockKind.PAGE_FOOTER,
    "page_number": BlockKind.PAGE_NUMBER,
    "code": BlockKind.CODE,
}
_LABELS = "|".join([*sorted(_KINDS), "text", "table"])
# The second form is what is left of the first where the server leaves out special tokens.
_MARK = re.compile(
    r"<\|ref\|>(?P<ref>[^<>|]{0,100})<\|/ref\|>\s{0,4}<\|det\|>(?P<det>[^<>|]{0,2000})<\|/det\|>[ \t]*\n?"
    rf"|^(?P<bare>{_LABELS})(?P<corners>\[\[[\d,\[\] .]{{3,2000}}\]\])[ \t]*\n?",
    re.MULTILINE,
)
_LEFT_OVER = re.compile(r"<\|/?(?:ref|det|grounding)\|>")
_WHOLE = 999


def read(text: str, view: View) -> Answer:
    """The parts in their order. A mark that is not closed stays as text; an answer without marks is Markdown."""
    marks = [*_MARK.finditer(text)]
    starts = [mark.start() for mark in marks]
    blocks: list[Block] = []
    malformed = False
    for mark, start, end in zip([None, *marks], [0, *starts], [*starts, len(text)], strict=True):
        made, wrong = _part(mark, text[mark.end() if mark else start : end], view)
        blocks.extend(made)
        malformed = malformed or wrong
    return Answer(blocks=tuple(blocks), malformed=malformed)


def _part(mark: re.Match[str] | None, written: str, view: View) -> tuple[Iterator[Block], bool]:
    """The blocks below a mark, and whether something in them or in the mark is wrong."""
    left_over = _LEFT_OVER.search(written) is not None
    made = parse(clean(_LEFT_OVER.sub(" ", written)))
    if mark is None:
        return iter(made), left_over
    label = (mark["ref"] or mark["bare"] or "").strip()
    box = _box(mark["det"] or mark["corners"] or "", view)
    kind = _KINDS.get(label)
    if kind is not BlockKind.FIGURE:
        return boxes.placed(list(kinds.recast(made, kind)), box), left_over or box is None
    # A picture has no text of its own; what follows it without a mark is the page's.
    pictures = [Block(kind=kind)]
    return iter([*boxes.placed(pictures, box), *made]), left_over or box is None


def _box(written: str, view: View) -> Rect | None:
    """The rectangle around all boxes of a part."""
    try:
        listed: Any = json.loads(written)
    except (ValueError, RecursionError):
        return None
    found = [boxes.from_share(corners, view, _WHOLE) for corners in listed] if isinstance(listed, list) else []
    known = [box for box in found if box is not None]
    if not known or len(known) < len(found):
        return None
    return (
        min(box[0] for box in known),
        min(box[1] for box in known),
        max(box[2] for box in known),
        max(box[3] for box in known),
    )


PROFILE = Profile(
    name="deepseek-ocr-2",
    model="deepseek-ai/DeepSeek-OCR-2",
    names=("deepseek-ocr",),
    # The server's chat template puts the image before it.
    prompt="<|grounding|>Convert the document to markdown.",
    read=read,
    limits=PixelLimits(min_pixels=28 * 28, max_pixels=2048 * 2048, factor=1, max_side=2048),
    fields={
        "skip_special_tokens": False,
        # Of the recipe's logits processor: no run of 30 tokens twice within 90, but for <td> and </td>.
        "vllm_xargs": {"ngram_size": 30, "window_size": 90, "whitelist_token_ids": [128821, 128822]},
    },
    billions=3.0,
    licence="Apache-2.0",
    scores=(Score(value=91.1, benchmark="OmniDocBench 1.5", source="its paper, arXiv:2601.20552"),),
    serve=(
        "vllm serve deepseek-ai/DeepSeek-OCR-2 --trust-remote-code --no-enable-prefix-caching "
        "--mm-processor-cache-gb 0 "
        "--logits_processors vllm.model_executor.models.deepseek_ocr:NGramPerReqLogitsProcessor"
    ),
)
