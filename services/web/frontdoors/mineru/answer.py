"""A page as MinerU 3 answers it: Markdown, and entries of `content_list`.

Places are in thousandths of the page's sides.
"""

from collections.abc import Iterator
from typing import Any

from libs.page import table
from libs.page.block import Block, BlockKind, Rect
from libs.page.markdown import DEFAULT_LEVEL
from services.web.frontdoors.absent import note, page_markdown
from services.web.outputs.page import PageDocument

#: What stands between the Markdown of two pages.
SEPARATOR = "\n\n"
_RUNNING = {
    BlockKind.PAGE_HEADER: "header",
    BlockKind.PAGE_FOOTER: "footer",
    BlockKind.PAGE_NUMBER: "page_number",
    BlockKind.FOOTNOTE: "page_footnote",
}
_THOUSANDTHS = 1000


def markdown(page: PageDocument, *, first: bool) -> str:
    """The page's part of `md_content`."""
    return ("" if first else SEPARATOR) + page_markdown(page)


def content_list(page: PageDocument) -> Iterator[dict[str, Any]]:
    """The page's entries; `page_idx` counts from 0."""
    index = page.page_no - 1
    if (said := note(page)) is not None:
        yield {"type": "text", "text": said, "page_idx": index}
        return
    for block in page.blocks:
        if (entry := _entry(block)) is not None:
            yield entry | _place(page, block.box) | {"page_idx": index}


def _entry(block: Block) -> dict[str, Any] | None:
    match block.kind:
        case BlockKind.TABLE if block.cells:
            return {"type": "table", "table_body": table.to_html(block.cells), "img_path": ""}
        case BlockKind.FIGURE:
            return {"type": "image", "img_path": "", "image_caption": [block.text] if block.text else []}
        case BlockKind.FORMULA if block.latex:
            return {"type": "equation", "text": f"$$\n{block.latex}\n$$", "text_format": "latex", "img_path": ""}
        case BlockKind.LIST_ITEM if block.text:
            return {"type": "list", "sub_type": "text", "list_items": [f"{block.marker} {block.text}".strip()]}
        case BlockKind.CODE if block.text:
            return {"type": "code", "sub_type": "code", "code_body": block.text, "code_caption": []}
        case BlockKind.CHECK_BOX:
            return {"type": "text", "text": f"{'☑' if block.checked else '☐'} {block.text}"}
        case _ if not block.text:
            return None
        case BlockKind.TITLE | BlockKind.HEADING:
            level = 1 if block.kind is BlockKind.TITLE else block.level or DEFAULT_LEVEL
            return {"type": "text", "text": block.text, "text_level": level}
    return {"type": _RUNNING.get(block.kind, "text"), "text": block.text}


def _place(page: PageDocument, box: Rect | None) -> dict[str, list[int]]:
    if box is None or not page.width or not page.height:
        return {}
    left, top, right, bottom = box
    across, down = _THOUSANDTHS / page.width, _THOUSANDTHS / page.height
    return {"bbox": [round(left * across), round(top * down), round(right * across), round(bottom * down)]}
