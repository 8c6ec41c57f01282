"""Pictures that a model writes as links of Markdown, each on a line of its own, with their place in the link."""

import re
from collections.abc import Callable

from libs.page.block import Block, BlockKind, Rect
from libs.page.transcript import parse
from services.worker.engines.profiles.profile import Answer

# A code fence: what looks like a picture inside of one is a line of the listing.
_FENCE = re.compile(r"^\s*(?:```|~~~)", re.MULTILINE)


def with_pictures(
    text: str, link: re.Pattern[str], box_of: Callable[[re.Match[str]], tuple[Rect | None, bool]]
) -> Answer:
    """Markdown in which each line that matches `link` is a picture; the group `text` describes it.

    `box_of` returns the picture's place, and whether it is written wrongly.
    """
    blocks: list[Block] = []
    malformed = False
    at = 0
    for found in link.finditer(text):
        if len(_FENCE.findall(text, at, found.start())) % 2:
            continue
        blocks.extend(parse(text[at : found.start()]))
        box, wrong = box_of(found)
        malformed = malformed or wrong
        blocks.append(Block(kind=BlockKind.FIGURE, text=found["text"].strip(), box=box))
        at = found.end()
    blocks.extend(parse(text[at:]))
    return Answer(blocks=tuple(blocks), malformed=malformed)
