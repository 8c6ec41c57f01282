"""A page in the form of Mistral's `POST /v1/ocr`. Pure.

After https://docs.mistral.ai/api/endpoint/ocr and the models of the package `mistralai` 3.7.0. Places are whole pixels
of the page image.
"""

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from libs.page import table
from libs.page.block import Block, BlockKind, Line, Rect, lines_of, mean_confidence
from libs.page.markdown import MarkdownOptions, to_markdown
from services.web.frontdoors.absent import failure, page_markdown
from services.web.outputs.page import PageDocument

#: Running heads too: a client that does not want them sets `extract_header` and `extract_footer`.
_OPTIONS = MarkdownOptions(headers=True, pipes=True)
_HEADERS = frozenset({BlockKind.PAGE_HEADER})
_FOOTERS = frozenset({BlockKind.PAGE_FOOTER, BlockKind.PAGE_NUMBER})
_TYPES = {
    BlockKind.TITLE: "title",
    BlockKind.HEADING: "title",
    BlockKind.PARAGRAPH: "text",
    BlockKind.LIST_ITEM: "list",
    BlockKind.CHECK_BOX: "list",
    BlockKind.TABLE: "table",
    BlockKind.FORMULA: "equation",
    BlockKind.FIGURE: "image",
    BlockKind.CAPTION: "caption",
    BlockKind.PAGE_HEADER: "header",
    BlockKind.PAGE_FOOTER: "footer",
    BlockKind.PAGE_NUMBER: "footer",
    BlockKind.FOOTNOTE: "aside_text",
    BlockKind.CODE: "code",
}
# Of a document that is a picture: a pixel of it counts as a point.
_PICTURE_DPI = 72


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What a request asks of the answer. Members of other names are ignored."""

    include_image_base64: bool | None = None
    #: Figures that are cut out, at most.
    image_limit: int | None = None
    #: Width and height of a figure in pixels, at least.
    image_min_size: int | None = None
    #: In which form tables stand beside the Markdown; `None`: in it.
    table_format: Literal["markdown", "html"] | None = None
    extract_header: bool | None = None
    extract_footer: bool | None = None
    include_blocks: bool | None = None
    confidence_scores_granularity: Literal["page", "block", "word"] | None = None


def figures(page: PageDocument, wishes: Wishes, before: int) -> list[Rect]:
    """The places of the page's figures that the answer has, where `before` are in the pages before it."""
    least, most = wishes.image_min_size or 0, wishes.image_limit
    found = [
        block.box
        for block in page.blocks
        if block.kind is BlockKind.FIGURE
        and block.box is not None
        and min(block.box[2] - block.box[0], block.box[3] - block.box[1]) >= least
    ]
    return found if most is None else found[: max(0, most - before)]


def page_object(page: PageDocument, wishes: Wishes, images: Mapping[Rect, bytes | None]) -> dict[str, Any]:
    """The page. `images` are its figures by their places, as PNG where they are asked for."""
    names = {box: f"img-{number}.png" for number, box in enumerate(images)}
    running = _HEADERS if wishes.extract_header else frozenset()
    running |= _FOOTERS if wishes.extract_footer else frozenset()
    tables, shown = _without_tables([block for block in page.blocks if block.kind not in running], wishes)
    shown = [_with_image(block, names) for block in shown]
    markdown = to_markdown(shown, _OPTIONS) if failure(page) is None else page_markdown(page)
    return {
        "index": page.page_no - 1,
        "markdown": markdown,
        "images": [_image(names[box], box, png) for box, png in images.items()],
        "dimensions": _dimensions(page),
        "tables": tables,
        "hyperlinks": [],
        "header": _texts(page.blocks, _HEADERS) if wishes.extract_header else None,
        "footer": _texts(page.blocks, _FOOTERS) if wishes.extract_footer else None,
        "confidence_scores": _page_scores(page, markdown, wishes),
        "blocks": list(_blocks(page, wishes, names)) if wishes.include_blocks else None,
    }


def _dimensions(page: PageDocument) -> dict[str, int] | None:
    if not page.width or not page.height:
        return None
    return {"dpi": page.dpi or _PICTURE_DPI, "height": page.height, "width": page.width}


def _without_tables(blocks: Sequence[Block], wishes: Wishes) -> tuple[list[dict[str, str]], list[Block]]:
    """The tables by themselves, and the blocks with a link in place of each."""
    tables: list[dict[str, str]] = []
    shown: list[Block] = []
    for block in blocks:
        if wishes.table_format is None or block.kind is not BlockKind.TABLE:
            shown.append(block)
            continue
        name = _table_name(len(tables), wishes)
        tables.append({"id": name, "content": _table(block, wishes), "format": wishes.table_format})
        shown.append(Block(kind=BlockKind.PARAGRAPH, markdown=f"[{name}]({name})"))
    return tables, shown


def _table_name(number: int, wishes: Wishes) -> str:
    return f"tbl-{number}.{'html' if wishes.table_format == 'html' else 'md'}"


def _table(block: Block, wishes: Wishes) -> str:
    if wishes.table_format == "html" and block.cells:
        return table.to_html(block.cells)
    return to_markdown([block], _OPTIONS)


def _with_image(block: Block, names: Mapping[Rect, str]) -> Block:
    """The block; a figure that the answer has, with a link to it before its description."""
    if block.kind is not BlockKind.FIGURE or block.box is None or block.box not in names:
        return block
    name = names[block.box]
    described = to_markdown([Block(kind=BlockKind.PARAGRAPH, text=block.text)])
    return Block(kind=BlockKind.PARAGRAPH, markdown=f"![{name}]({name})" + (f"\n\n{described}" if described else ""))


def _image(name: str, box: Rect, png: bytes | None) -> dict[str, Any]:
    content = None if png is None else f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return {"id": name, **_corners(box), "image_base64": content}


def _corners(box: Rect) -> dict[str, int]:
    left, top, right, bottom = map(round, box)
    return {"top_left_x": left, "top_left_y": top, "bottom_right_x": right, "bottom_right_y": bottom}


def _texts(blocks: Iterable[Block], kinds: frozenset[BlockKind]) -> str | None:
    return "\n".join(block.text for block in blocks if block.kind in kinds) or None


def _blocks(page: PageDocument, wishes: Wishes, names: Mapping[Rect, str]) -> Iterator[dict[str, Any]]:
    """The blocks; one whose place is not known has that of the page."""
    tables = 0
    for block in page.blocks:
        box = block.box or (0, 0, page.width or 0, page.height or 0)
        found: dict[str, Any] = {
            "type": _TYPES[block.kind],
            **_corners(box),
            "content": to_markdown([block], _OPTIONS),
        }
        if block.kind is BlockKind.FIGURE:
            found["image_id"] = names.get(box, "")
        if block.kind is BlockKind.TABLE and wishes.table_format is not None:
            found |= {"content": _table(block, wishes), "table_id": _table_name(tables, wishes)}
            tables += 1
        if wishes.confidence_scores_granularity == "block":
            found["confidence_scores"] = _block_scores(block)
        yield found


def _block_scores(block: Block) -> dict[str, float | None]:
    scores = _known(block.lines)
    return {
        "average_content_confidence_score": mean_confidence(block.lines) if scores else block.confidence,
        "minimum_content_confidence_score": min(scores, default=block.confidence),
    }


def _page_scores(page: PageDocument, markdown: str, wishes: Wishes) -> dict[str, Any] | None:
    lines = lines_of(page.blocks)
    scores, average = _known(lines), mean_confidence(lines)
    if wishes.confidence_scores_granularity is None or average is None:
        return None
    found: dict[str, Any] = {"average_page_confidence_score": average, "minimum_page_confidence_score": min(scores)}
    if wishes.confidence_scores_granularity == "word":
        found["word_confidence_scores"] = list(_word_scores(lines, markdown))
    return found


def _known(lines: Iterable[Line]) -> list[float]:
    return [line.confidence for line in lines if line.confidence is not None]


def _word_scores(lines: Iterable[Line], markdown: str) -> Iterator[dict[str, Any]]:
    """The words in the order in which the Markdown has them; those that it does not have are left out."""
    at = 0
    for line in lines:
        words = [(word.text, word.confidence) for word in line.words] or [(word, None) for word in line.text.split()]
        for text, confidence in words:
            sure = line.confidence if confidence is None else confidence
            start = markdown.find(text, at)
            if start < 0 or sure is None:
                continue
            yield {"text": text, "confidence": sure, "start_index": start}
            at = start + len(text)
