"""GLM-OCR: Markdown.

Prompts and pixels are those of https://github.com/zai-org/GLM-OCR (`glmocr/config.yaml`): the prompt for a whole page,
and `Text Recognition:`, `Table Recognition:` and `Formula Recognition:` for parts of one. Its own settings sample at
0.8 with a repetition penalty; here the first try is greedy and without one, since a penalty damages tables.
"""

from services.worker.engines.pixel_limits import PixelLimits
from services.worker.engines.profiles import plain
from services.worker.engines.profiles.profile import Profile, Score

PROFILE = Profile(
    name="glm-ocr",
    model="zai-org/GLM-OCR",
    names=("glm-ocr",),
    # The model was trained on this wording.
    prompt=(
        "Recognize the text in the image and output in Markdown format. "
        "Preserve the original layout (headings/paragraphs/tables/formulas). "
        "Do not fabricate content that does not exist in the image."
    ),
    read=plain.read,
    # The most was chosen, A4 at 205 DPI: its own limit of 71 million would take more time than any print needs.
    limits=PixelLimits(min_pixels=112 * 112, max_pixels=4_000_000),
    billions=0.9,
    licence="MIT",
    scores=(Score(value=94.6, benchmark="OmniDocBench 1.5 (with its layout model)", source="its own card"),),
    serve="vllm serve zai-org/GLM-OCR --speculative-config.method mtp --speculative-config.num_speculative_tokens 1",
)
