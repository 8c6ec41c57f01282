"""Chandra 2: HTML, a `div` with a label and a box for each part of the page.

Prompt, labels and sampling are those of https://github.com/datalab-to/chandra (Apache-2.0; `prompts.py`,
`model/util.py`, `model/vllm.py`): boxes `data-bbox="x0 y0 x1 y1"` in thousandths of the page's sides (as a list in the
first release), formulas in `math` as LaTeX, tables with spans, check boxes as `input`, pictures described in `alt` and
below it.
"""

import json

from libs.page.block import Block, BlockKind, Rect
from libs.page.transcript import parse
from services.worker.engines.pixel_limits import PixelLimits
from services.worker.engines.profiles import boxes, html, kinds
from services.worker.engines.profiles.profile import Answer, Profile, Score, View
from services.worker.engines.profiles.wrapping import clean

# The model was trained on this wording.
PROMPT = """\
OCR this image to HTML, arranged as layout blocks.  Each layout block should be a div with the data-bbox attribute \
representing the bounding box of the block in x0 y0 x1 y1 format.  Bboxes are normalized 0-1000. The data-label \
attribute is the label for the block.

Use the following labels:
- Caption
- Footnote
- Equation-Block
- List-Group
- Page-Header
- Page-Footer
- Image
- Section-Header
- Table
- Text
- Complex-Block
- Code-Block
- Form
- Table-Of-Contents
- Figure
- Chemical-Block
- Diagram
- Bibliography
- Blank-Page

Only use these tags ['math', 'br', 'i', 'b', 'u', 'del', 'sup', 'sub', 'table', 'tr', 'td', 'p', 'th', 'div', \
'pre', 'h1', 'h2', 'h3', 'h4', 'h5', 'ul', 'ol', 'li', 'input', 'a', 'span', 'img', 'hr', 'tbody', 'small', \
'caption', 'strong', 'thead', 'big', 'code', 'chem'], and these attributes ['class', 'colspan', 'rowspan', \
'display', 'checked', 'type', 'border', 'value', 'style', 'href', 'alt', 'align', 'data-bbox', 'data-label'].

Guidelines:
* Inline math: Surround math with <math>...</math> tags. Math expressions should be rendered in KaTeX-compatible \
LaTeX. Use display for block math.
* Tables: Use colspan and rowspan attributes to match table structure.
* Formatting: Maintain consistent formatting with the image, including spacing, indentation, subscripts/superscripts, \
and special characters.
* Images: Include a description of any images in the alt attribute of an <img> tag. Do not fill out the src property. \
Describe in detail inside the div tag. Also convert charts to high fidelity data, and convert diagrams to mermaid.
* Forms: Mark checkboxes and radio buttons properly.
* Text: join lines together properly into paragraphs using <p>...</p> tags.  Use <br> tags for line breaks within \
paragraphs, but only when absolutely necessary to maintain meaning.
* Chemistry: Use <chem>...</chem> tags for chemical formulas with reactive SMILES.
* Lists: Preserve indents and proper list markers.
* Use the simplest possible HTML structure that accurately represents the content of the block.
* Make sure the text is accurate and easy for a human to read and interpret.  Reading order should be correct and \
natural."""
_KINDS = {
    "caption": BlockKind.CAPTION,
    "footnote": BlockKind.FOOTNOTE,
    "equation-block": BlockKind.FORMULA,
    "page-header": BlockKind.PAGE_HEADER,
    "page-footer": BlockKind.PAGE_FOOTER,
    "image": BlockKind.FIGURE,
    "figure": BlockKind.FIGURE,
    "diagram": BlockKind.FIGURE,
    "section-header": BlockKind.HEADING,
    "code-block": BlockKind.CODE,
}
_WHOLE = 1000


def read(text: str, view: View) -> Answer:
    """The blocks in their order. What stands outside of them, or without a box on the page, is reported and kept."""
    found, closed = html.parts(clean(text, languages=("html",)))
    malformed = not closed
    blocks: list[Block] = []
    for part in found:
        attributes = part.attributes or {}
        label = attributes.get("data-label", "").lower()
        box = _box(attributes.get("data-bbox", ""), view)
        made = list(kinds.recast(parse(html.to_markdown(part.html)), _KINDS.get(label)))
        malformed = malformed or box is None or not label
        blocks.extend(boxes.placed(made, box))
    return Answer(blocks=tuple(blocks), malformed=malformed)


def _box(written: str, view: View) -> Rect | None:
    try:
        corners = json.loads(written) if "[" in written else [float(part) for part in written.replace(",", " ").split()]
    except (ValueError, RecursionError):
        return None
    return boxes.from_share(corners, view, _WHOLE)


PROFILE = Profile(
    name="chandra-2",
    model="datalab-to/chandra-ocr-2",
    names=("chandra",),
    prompt=PROMPT,
    read=read,
    limits=PixelLimits(min_pixels=1792 * 28, max_pixels=3072 * 2048),
    fields={"top_p": 0.1},
    billions=4.0,
    licence="OpenRAIL-M, modified: free for research and for companies below 2 million dollars",
    scores=(Score(value=85.9, benchmark="olmOCR-bench", source="its own card"),),
    serve="vllm serve datalab-to/chandra-ocr-2 --max-model-len 18000 --limit-mm-per-prompt '{\"image\": 1}'",
)
