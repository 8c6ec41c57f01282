"""A page as the layout parsing of PaddleX answers it. Places are in pixels of the page's image."""

from collections.abc import Sequence
from typing import Any

from libs.page import table
from libs.page.block import Block, BlockKind
from libs.page.markdown import MarkdownOptions, to_markdown
from services.web.frontdoors.absent import note, page_markdown
from services.web.outputs.page import PageDocument

_LABELS = {
    BlockKind.TITLE: "doc_title",
    BlockKind.HEADING: "paragraph_title",
    BlockKind.TABLE: "table",
    BlockKind.FORMULA: "formula",
    BlockKind.FIGURE: "image",
    BlockKind.CAPTION: "figure_title",
    BlockKind.PAGE_HEADER: "header",
    BlockKind.PAGE_FOOTER: "footer",
    BlockKind.PAGE_NUMBER: "number",
    BlockKind.FOOTNOTE: "footnote",
    BlockKind.CODE: "algorithm",
}
_WITH_HEADERS = MarkdownOptions(headers=True)


def parsed_page(page: PageDocument) -> dict[str, Any]:
    """The page's entry of `layoutParsingResults`."""
    said = note(page)
    blocks = page.blocks if said is None else (Block(kind=BlockKind.PARAGRAPH, text=said),)
    return {
        "prunedResult": {
            "page_index": page.page_no - 1,
            "width": page.width,
            "height": page.height,
            "parsing_res_list": _blocks(page, blocks),
        },
        "markdown": {"text": page_markdown(page), "images": {}, "isStart": True, "isEnd": True},
        "outputImages": None,
        "inputImage": None,
    }


def page_size(page: PageDocument) -> dict[str, int]:
    """The page's entry of `dataInfo.pages`; 0 where its image could not be made."""
    return {"width": page.width or 0, "height": page.height or 0}


def _blocks(page: PageDocument, blocks: Sequence[Block]) -> list[dict[str, Any]]:
    whole = (0, 0, page.width or 0, page.height or 0)
    return [
        {
            "block_label": _LABELS.get(block.kind, "text"),
            "block_content": _content(block),
            "block_bbox": [round(side) for side in block.box or whole],
            "block_id": number,
            "block_order": number + 1,
        }
        for number, block in enumerate(blocks)
    ]


def _content(block: Block) -> str:
    if block.cells:
        return table.to_html(block.cells)
    if block.kind in (BlockKind.LIST_ITEM, BlockKind.CHECK_BOX):
        return to_markdown([block], _WITH_HEADERS)
    return block.latex or block.text
