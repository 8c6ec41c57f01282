"""PDF pages with text layers that are right, and with such as are wrong in the ways that occur in the world."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pymupdf

from libs.jobstate.intake import OcrMode
from services.web.render.child.pdf import PdfSource
from services.web.render.protocol import RenderLimits
from services.worker.engines.engine import PageImage

# PyMuPDF is typed in part only.
mupdf: Any = pymupdf

PROSE = """The company leases its headquarters under an agreement
that expires in 2031. Payments under the lease rose by 4.5
percent over the year, to 1,250,000 dollars, since the index
of consumer prices on which they depend had risen too.
Management believes that the premises are suitable for the
purposes for which they are used, and that further space
could be found nearby at reasonable cost should the number
of employees continue to grow as it did in recent years."""
OTHER = """It was on a dreary night of November that I beheld the
accomplishment of my toils. With an anxiety that almost
amounted to agony, I collected the instruments of life
around me, that I might infuse a spark of being into the
lifeless thing that lay at my feet. It was already one in
the morning; the rain pattered dismally against the panes,
and my candle was nearly burnt out, when, by the glimmer
of the light, I saw the dull yellow eye of it open wide."""
CHINESE = """公司根据一项将于二零三一年到期的协议
租用其总部大楼去年租金上涨了百分之四
管理层认为这些场所适合其使用目的并且
附近可以以合理的成本找到更多的空间"""
#: In the order in which it is read.
HEBREW = """ספר קטן בבית ספרים שלום
סוף גדול מלך טובים ילדים"""

Draw = Callable[[Any], object]


def page_of(draw: Draw, folder: Path, *, ocr: OcrMode = OcrMode.AUTO, dpi: int = 150) -> PageImage:
    """The image of an A5 page that is drawn like this, with its layer, as the render child stores it."""
    path = folder / "page.pdf"
    with mupdf.open() as document:
        draw(document.new_page(width=420, height=595))
        document.save(path)
    with path.open("rb") as file:
        return PageImage(page_no=1, data=PdfSource(file.fileno(), dpi, RenderLimits()).page_png(1), ocr=ocr)


def write(page: Any, text: str, *, top: float = 60, left: float = 40, **style: Any) -> None:
    """Lines of text from here on."""
    size = style.get("fontsize", 11)
    for row, line in enumerate(text.splitlines()):
        page.insert_text((left, top + row * 1.4 * size), line, **{"fontsize": 11, **style})


def plain(page: Any) -> None:
    """A heading and a paragraph."""
    write(page, "Annual report", top=40, fontsize=20, fontname="hebo")
    write(page, PROSE, top=80)


def two_columns(page: Any) -> None:
    """Two columns of prose."""
    write(page, _narrow(PROSE), fontsize=9)
    write(page, _narrow(OTHER), left=225, fontsize=9)


def turned(page: Any) -> None:
    """A page that a viewer turns by a quarter."""
    plain(page)
    page.set_rotation(90)


def sideways(page: Any) -> None:
    """A page whose text runs up."""
    for row, line in enumerate(PROSE.splitlines()):
        page.insert_text((80 + row * 16, 500), line, fontsize=11, rotate=90)


def ligatures(page: Any) -> None:
    """Words with ligatures, each one character of the font."""
    page.insert_font(fontname="lig", fontbuffer=mupdf.Font("tiro").buffer)
    write(page, "The ﬁrst ofﬁcer deﬁned ﬂoors\nand ﬂowers in the ﬁnal ﬁle", fontname="lig", fontsize=14)


def chinese(page: Any) -> None:
    """Chinese in a font with a Unicode map."""
    write(page, CHINESE, fontname="china-s", fontsize=14)


def shifted(page: Any) -> None:
    """A font whose Unicode map is one code off: what is copied is not what is printed."""
    write(page, PROSE)
    _map_fonts(page, {code: chr(code + 1) for code in range(33, 127)})


def one_shifted_font(page: Any) -> None:
    """One of two fonts has such a map."""
    write(page, PROSE, fontname="tiro")
    write(page, OTHER, top=300, fontname="cour", fontsize=9)
    _map_fonts(page, {code: chr(code + 1) for code in range(33, 127)}, only="Courier")


def unmapped(page: Any) -> None:
    """A font whose codes are numbers of glyphs, without a Unicode map."""
    page.insert_font(fontname="emb", fontbuffer=mupdf.Font("cjk").buffer)
    write(page, PROSE, fontname="emb")
    document = page.parent
    for xref, *_ in page.get_fonts():
        document.xref_set_key(xref, "ToUnicode", "null")


def hebrew(page: Any) -> None:
    """Hebrew, set from right to left: letters are drawn in the order in which they are seen, as producers do."""
    _hebrew(page, "\n".join(line[::-1] for line in HEBREW.splitlines()))


def visual_order(page: Any) -> None:
    """Hebrew, set as if it ran to the right: each word is copied backwards."""
    _hebrew(page, HEBREW)


def scanned(page: Any) -> None:
    """A scan with an invisible layer of an OCR that read it right."""
    _picture(page, PROSE, page.rect)
    write(page, PROSE, render_mode=3)


def misread(page: Any) -> None:
    """A scan with the invisible layer of another page."""
    _picture(page, PROSE, page.rect)
    write(page, OTHER, render_mode=3)


def covered(page: Any) -> None:
    """A scan that lies over the text of another page."""
    write(page, OTHER)
    _picture(page, PROSE, page.rect)


def half(page: Any) -> None:
    """The lower half of the print is a picture."""
    write(page, PROSE)
    _picture(page, "\n" * 11 + OTHER, mupdf.Rect(0, 200, 420, 595))


def hidden(page: Any) -> None:
    """White words between the others, which nobody sees."""
    write(page, PROSE)
    write(page, OTHER, top=300, color=(1, 1, 1))


def drawing(page: Any) -> None:
    """Text beside a picture without any."""
    write(page, PROSE)
    for at in range(60):
        page.draw_circle((60 + at * 5, 400 + at * 37 % 80), 3, fill=(0.2, 0.4, 0.6))


def _hebrew(page: Any, text: str) -> None:
    """Text whose letters are Hebrew by the font's Unicode map; what is printed stands for a script without a reader."""
    codes = {letter: 97 + at for at, letter in enumerate(sorted(set("".join(HEBREW.split()))))}
    write(page, "".join(chr(codes.get(letter, ord(letter))) for letter in text))
    _map_fonts(page, {code: letter for letter, code in codes.items()})


def _narrow(text: str) -> str:
    words = text.split()
    return "\n".join(" ".join(words[at : at + 5]) for at in range(0, len(words), 5))


def _picture(page: Any, text: str, clip: Any) -> None:
    """A picture of the page with this text, cut to `clip`, in its place."""
    with mupdf.open() as other:
        drawn = other.new_page(width=page.rect.width, height=page.rect.height)
        write(drawn, text)
        picture = drawn.get_pixmap(dpi=150, clip=clip)
    page.insert_image(clip, stream=picture.tobytes("png"))


def lam_alef(page: Any) -> None:
    """Arabic, set from right to left, in a font with a ligature: one code for two letters."""
    write(page, "abc")
    _map_fonts(page, {97: "م", 98: "لا", 99: "س"})


def columns_of_characters(page: Any) -> None:
    """Chinese, set in columns from top to bottom, that end with a stroke in the middle of its place."""
    page.insert_text((200, 60), "竖排的文字一", fontname="china-s", fontsize=14)
    ((xref, *_),) = page.get_fonts()
    kind, encoding = page.parent.xref_get_key(xref, "Encoding")
    assert kind == "name"
    page.parent.xref_set_key(xref, "Encoding", encoding.removesuffix("H") + "V")


def number_at_the_left(page: Any) -> None:
    """A Hebrew word and a number after it, each drawn in its place, without a space between them."""
    page.insert_text((100, 60), "abc")
    page.insert_text((70, 60), "2014")
    _map_fonts(page, {97: "ג", 98: "ב", 99: "א"})


def _map_fonts(page: Any, letters: dict[int, str], only: str = "") -> None:
    """Give the page's fonts this Unicode map (ISO 32000-1, 9.10.3)."""
    document = page.parent
    rows = "\n".join(f"<{code:02x}> <{letter.encode('utf-16-be').hex()}>" for code, letter in letters.items())
    cmap = (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /Made def /CMapType 2 def\n"
        "1 begincodespacerange <00> <ff> endcodespacerange\n"
        f"{len(letters)} beginbfchar\n{rows}\nendbfchar\nendcmap end end"
    )
    for xref, _, _, name, *_ in page.get_fonts():
        if only in name:
            stream = document.get_new_xref()
            document.update_object(stream, "<<>>")
            document.update_stream(stream, cmap.encode())
            document.xref_set_key(xref, "ToUnicode", f"{stream} 0 R")


GOOD: Sequence[Draw] = (plain, two_columns, turned, sideways, ligatures, chinese, drawing)
