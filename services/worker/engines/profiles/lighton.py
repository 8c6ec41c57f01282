"""LightOnOCR-2: Markdown from the image alone.

As the card of lightonai/LightOnOCR-2-1B has it: no prompt, a longer side of 1,540 pixels (a page at 200 DPI),
temperature 0.2 and top_p 0.9. Pictures are `![image](image_1.png)`; the variants for boxes add `x1,y1,x2,y2`, in
thousandths of the page's sides. Paper: arXiv:2601.14251.
"""

import re

from libs.page.block import Rect
from services.worker.engines.pixel_limits import PixelLimits
from services.worker.engines.profiles import boxes
from services.worker.engines.profiles.pictures import with_pictures
from services.worker.engines.profiles.profile import Answer, Profile, Score, View
from services.worker.engines.profiles.wrapping import clean

_PICTURE = re.compile(
    r"^[ \t]*!\[(?:image)?(?P<text>[^\]\n]*)\]\(image_\d{1,6}\.\w{1,5}\)[ \t]*"
    r"(?:(\d{1,9}),[ ]?(\d{1,9}),[ ]?(\d{1,9}),[ ]?(\d{1,9}))?[ \t]*$",
    re.MULTILINE,
)
_WHOLE = 1000


def read(text: str, view: View) -> Answer:
    """Markdown with pictures."""

    def box_of(picture: re.Match[str]) -> tuple[Rect | None, bool]:
        if picture[2] is None:
            return None, False
        box = boxes.from_share([int(picture[group]) for group in (2, 3, 4, 5)], view, _WHOLE)
        return box, box is None

    return with_pictures(clean(text), _PICTURE, box_of)


PROFILE = Profile(
    name="lightonocr-2",
    model="lightonai/LightOnOCR-2-1B",
    names=("lightonocr-2",),
    prompt="",
    read=read,
    limits=PixelLimits(min_pixels=28 * 28, max_pixels=1540 * 1540, max_side=1540),
    temperature=0.2,
    fields={"top_p": 0.9},
    billions=1.0,
    licence="Apache-2.0",
    scores=(Score(value=83.2, benchmark="olmOCR-bench", source="its paper, arXiv:2601.14251"),),
    serve=(
        "vllm serve lightonai/LightOnOCR-2-1B --limit-mm-per-prompt '{\"image\": 1}' --mm-processor-cache-gb 0 "
        "--no-enable-prefix-caching"
    ),
)
