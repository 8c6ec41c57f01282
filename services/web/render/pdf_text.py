"""The text layer of a PDF page, where it is evidence of what the page shows. In a render child only."""

from collections.abc import Iterator
from typing import Any

import pymupdf

# Only a part of it is typed.
mupdf: Any = pymupdf

# A picture as large as this is a scan, or has words that the layer lacks.
_PICTURE_SHARE = 0.4
# Of a character in MuPDF's structured text: neither is set where it leaves no mark, as where OCR lays it over scans.
_MARKS = mupdf.mupdf.FZ_STEXT_FILLED | mupdf.mupdf.FZ_STEXT_STROKED


def visible_text(drawing: Any) -> str:
    """The text in the `pymupdf.DisplayList` of a page, a line for each of its lines; empty where it does not tell.

    Left out is what nobody sees: text without fill and stroke, and what was cropped away. Never fails: the page's
    image is needed, its text only useful.
    """
    try:
        return _text(drawing)
    except Exception:  # MuPDF raises a class of its own for each fault that a document can have
        return ""


def _text(drawing: Any) -> str:
    layout = mupdf.TextPage(drawing.get_textpage(flags=mupdf.TEXT_PRESERVE_IMAGES))
    lines, pictures = 0, 0.0
    hidden = False
    for block in layout.this:
        if block.m_internal.type == mupdf.mupdf.FZ_STEXT_BLOCK_IMAGE:
            pictures += _area(block.m_internal.bbox)
        else:
            marks = [bool(flags & _MARKS) for flags in _first_flags(block)]
            lines += sum(marks)
            hidden = hidden or not all(marks)
    if not lines or pictures > _PICTURE_SHARE * drawing.rect.width * drawing.rect.height:
        return ""
    # Taking every line apart costs as much as all else here, and hardly any page needs it.
    return _marked(layout) if hidden else str(layout.extractText()).rstrip()


def _first_flags(block: Any) -> Iterator[int]:
    """Of the first character of each line: OCR lays whole lines over a scan."""
    return (line.m_internal.first_char.flags for line in block if line.m_internal.first_char)


def _marked(layout: Any) -> str:
    lines = (line for block in layout.extractDICT()["blocks"] for line in block.get("lines", ()))
    spans = ([span["text"] for span in line["spans"] if span["char_flags"] & _MARKS] for line in lines)
    return "\n".join(filter(None, map("".join, spans)))


def _area(box: Any) -> float:
    return abs(float((box.x1 - box.x0) * (box.y1 - box.y0)))
