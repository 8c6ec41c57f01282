"""Blocks of a page as plain text."""

from collections.abc import Iterator, Sequence

from libs.page import table
from libs.page.block import RUNNING_KINDS, Block, BlockKind
from libs.page.markdown import Part

_LISTED = frozenset({BlockKind.LIST_ITEM, BlockKind.CHECK_BOX})


def to_text(blocks: Sequence[Block], *, headers: bool = False) -> str:
    """The page without markup: an empty line between blocks, tabs between the cells of a table.

    `headers`: running heads, running feet and page numbers too.
    """
    return "".join(part.before + part.text for part in text_parts(blocks, headers=headers))


def text_parts(blocks: Sequence[Block], *, headers: bool = False) -> Iterator[Part]:
    """The same by blocks; those that write nothing are left out."""
    before: Block | None = None
    for block in blocks:
        if block.kind in RUNNING_KINDS and not headers:
            continue
        if text := _block(block):
            listed = before is not None and {before.kind, block.kind} <= _LISTED
            yield Part(block, "" if before is None else "\n" if listed else "\n\n", text)
            before = block


def _block(block: Block) -> str:
    match block.kind:
        case BlockKind.TABLE if block.cells:
            return "\n".join("\t".join(" ".join(text.split()) for text in row) for row in table.grid(block.cells))
        case BlockKind.FORMULA:
            return block.text or block.latex
        case BlockKind.LIST_ITEM:
            indent = "  " * ((block.level or 1) - 1)
            return f"{indent}{block.marker or '-'} " + block.text.replace("\n", f"\n{indent}  ")
        case BlockKind.CHECK_BOX:
            return f"{'☑' if block.checked else '☐'} {block.text}"
    return block.text
