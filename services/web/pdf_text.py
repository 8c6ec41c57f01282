"""The text layer of a PDF page, where it is evidence of what the page shows. In a render child only."""

from typing import Any

# A picture as large as this is a scan, or has words that the layer lacks.
_PICTURE_SHARE = 0.4
# Of a character in MuPDF's structured text (FZ_STEXT_FILLED, FZ_STEXT_STROKED): neither is set where it leaves no mark.
_MARKS = 16 | 32


def visible_text(page: Any) -> str:
    """The text that is drawn on a `pymupdf.Page`, a line for each of its lines; empty where it does not tell.

    Left out is what nobody sees: text without fill and stroke, as OCR lays it over scans, and what was cropped away.
    Never fails: the page's image is needed, its text only useful.
    """
    try:
        return "" if _is_picture(page) else _text(page)
    except Exception:
        return ""


def _is_picture(page: Any) -> bool:
    whole: float = page.rect.width * page.rect.height
    pictures = (box for kind, box in page.get_bboxlog() if kind in ("fill-image", "fill-imgmask"))
    covered = sum(abs((right - left) * (bottom - top)) for left, top, right, bottom in pictures)
    return bool(covered > _PICTURE_SHARE * whole)


def _text(page: Any) -> str:
    blocks = page.get_text("dict", flags=0)["blocks"]
    lines = (line for block in blocks for line in block.get("lines", ()))
    spans = ([span["text"] for span in line["spans"] if span["char_flags"] & _MARKS] for line in lines)
    return "\n".join(filter(None, map("".join, spans)))
