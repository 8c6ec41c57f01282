"""PaddleOCR-VL: one task for each request, named by its prompt.

The tasks and their prompts are those of https://github.com/PaddlePaddle/PaddleOCR and of vLLM's recipe (`OCR:`, `Table
Recognition:`, `Formula Recognition:`, `Chart Recognition:`); tables come as OTSL. The model recognises parts of a page
that a layout model has cut out; a whole page is read as text, and `OCR_PROMPT` chooses another task.
"""

from libs.page.block import Block, BlockKind
from libs.page.transcript import parse
from services.worker.engines.pixel_limits import PixelLimits
from services.worker.engines.profiles import otsl
from services.worker.engines.profiles.profile import Answer, Profile, Score, View
from services.worker.engines.profiles.wrapping import clean


def read(text: str, view: View) -> Answer:
    """Text, and tables in OTSL; a table that is not sound stays as text."""
    text = clean(text)
    blocks: list[Block] = []
    malformed = False
    at = 0
    for start, end in otsl.tables(text):
        blocks.extend(parse(text[at:start]))
        found = otsl.cells(text[start:end])
        if found is None:
            malformed = True
            blocks.extend(parse(text[start:end]))
        else:
            blocks.append(Block(kind=BlockKind.TABLE, cells=found))
        at = end
    blocks.extend(parse(text[at:]))
    return Answer(blocks=tuple(blocks), malformed=malformed)


PROFILE = Profile(
    name="paddleocr-vl",
    model="PaddlePaddle/PaddleOCR-VL",
    names=("paddleocr-vl",),
    prompt="OCR:",
    read=read,
    limits=PixelLimits(min_pixels=147_384, max_pixels=2_822_400),
    billions=0.9,
    licence="Apache-2.0",
    scores=(
        Score(
            value=96.3, benchmark="OmniDocBench 1.6 (with its layout model)", source="its own card, of PaddleOCR-VL-1.6"
        ),
    ),
    serve=(
        "vllm serve PaddlePaddle/PaddleOCR-VL --trust-remote-code --max-num-batched-tokens 16384 "
        "--no-enable-prefix-caching --mm-processor-cache-gb 0"
    ),
)
