"""Models of which nothing is known: they are asked for Markdown, and their answer is taken as Markdown."""

from libs.page.transcript import parse
from services.worker.engines.pixel_limits import PixelLimits
from services.worker.engines.profiles.profile import Answer, Profile, View
from services.worker.engines.profiles.wrapping import clean

PROMPT = (
    "Write down all the text on this page as Markdown, in the order in which a person would read it. "
    "Write tables as HTML and equations as LaTeX. "
    "For each picture, write its caption between <img> and </img>, or a short description where it has no caption. "
    "Write watermarks between <watermark> and </watermark>, and page numbers between <page_number> and </page_number>. "
    "Use ☐ for an empty check box and ☑ for a ticked one. "
    "Write nothing that is not on the page."
)


def read(text: str, view: View) -> Answer:
    """Markdown."""
    return Answer(blocks=parse(clean(text)))


PROFILE = Profile(
    name="plain",
    model="",
    names=(),
    prompt=PROMPT,
    read=read,
    # The side was chosen: it keeps print of 8 points legible on A4, at 175 DPI, and bounds what a server has to take.
    limits=PixelLimits(min_pixels=28 * 28, max_pixels=2048 * 2048, factor=1, max_side=2048),
)
