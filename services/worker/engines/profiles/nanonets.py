"""Nanonets-OCR-s and Nanonets-OCR2: Markdown with tags of their own.

Prompt and tags are those of the cards of nanonets/Nanonets-OCR-s and nanonets/Nanonets-OCR2-3B, whose examples decode
greedily. The answer is Markdown with tables as HTML, equations as LaTeX, check boxes as ☐ ☑ ☒, and the tags img,
watermark and page_number; OCR2 writes signature too. https://github.com/NanoNets/docext describes them as well.
"""

import re

import msgspec

from libs.page.transcript import parse
from services.worker.engines.pixel_limits import PixelLimits
from services.worker.engines.profiles.profile import Answer, Profile, Score, View
from services.worker.engines.profiles.wrapping import clean

# The models were trained on this wording.
PROMPT = (
    "Extract the text from the above document as if you were reading it naturally. Return the tables in html format. "
    "Return the equations in LaTeX representation. If there is an image in the document and image caption is not "
    "present, add a small description of the image inside the <img></img> tag; otherwise, add the image caption inside "
    "<img></img>. Watermarks should be wrapped in brackets. Ex: <watermark>OFFICIAL COPY</watermark>. Page numbers "
    "should be wrapped in brackets. Ex: <page_number>14</page_number> or <page_number>9/22</page_number>. Prefer using "
    "☐ and ☑ for check boxes."
)
# Tags that the models close.
_TAGS = re.compile(r"<(/?)(img|watermark|page_number|signature|table)\b[^<>]*>", re.IGNORECASE)
# 2,944 visual tokens: a page of 1,288 x 1,792 pixels, A4 at 155 DPI. Chosen: the speed is estimated for it, and the
# hub's configuration would allow 16,384.
LIMITS = PixelLimits(min_pixels=256 * 28 * 28, max_pixels=2944 * 28 * 28)
# vLLM's own generation settings: the checkpoints' have a repetition penalty, which damages tables.
_OPTIONS = "--max-model-len 16384 --limit-mm-per-prompt '{\"image\": 1}' --generation-config vllm"


def read(text: str, view: View) -> Answer:
    """Markdown with these tags; one that is not closed is reported, and what follows it stays as text."""
    text = clean(text)
    return Answer(blocks=parse(text), malformed=_is_unclosed(text))


def _is_unclosed(text: str) -> bool:
    """Whether a tag is opened and not closed before the next of its name, or closed without being open."""
    is_open: set[str] = set()
    for found in _TAGS.finditer(text):
        name, closes = found[2].lower(), bool(found[1])
        if name == "img" and "alt=" in found[0].lower():
            continue  # HTML's own, which needs no end
        if closes != (name in is_open) and name != "table":
            return True
        if closes:
            is_open.discard(name)
        else:
            is_open.add(name)
    return bool(is_open)


OCR_S = Profile(
    name="nanonets-ocr-s",
    model="nanonets/Nanonets-OCR-s",
    names=("nanonets-ocr-s",),
    prompt=PROMPT,
    read=read,
    limits=LIMITS,
    billions=3.75,
    licence="Qwen Research (of Qwen2.5-VL-3B, its base): no commercial use",
    scores=(Score(value=64.5, benchmark="olmOCR-bench", source="olmOCR's table"),),
    serve=f"vllm serve nanonets/Nanonets-OCR-s {_OPTIONS}",
)
OCR2 = msgspec.structs.replace(
    OCR_S,
    name="nanonets-ocr2",
    model="nanonets/Nanonets-OCR2-3B",
    names=("nanonets-ocr2",),
    scores=(Score(value=69.5, benchmark="olmOCR-bench", source="olmOCR's table"),),
    serve=f"vllm serve nanonets/Nanonets-OCR2-3B {_OPTIONS}",
)
