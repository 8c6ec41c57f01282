"""Searchable PDFs: the words are where they are printed, and the document is as it was."""

import asyncio
import math
import sys
import textwrap
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
import pymupdf
import pytest
from PIL import Image

from libs.page.block import Line, Point, Word
from services.serving import jail
from services.web.render import document as rendering
from services.web.render.document import RenderedPage, RenderLimits, Unreadable, open_document
from services.web.render.filetype import FileType
from services.web.render.protocol import PageText
from services.web.render.searchable import searchable_pdf
from tests.documents import WriteFile
from tests.printed import (
    DPI,
    PROSE,
    SCALE,
    assert_in_place,
    centre,
    check_by_qpdf,
    found_words,
    pixels_of,
    printed,
    saved,
    scan,
    searchable,
    text_of,
    texts,
    words_by_pdftotext,
)

# Only a part of it is typed.
mupdf: Any = pymupdf

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize(("offset", "crop"), [((0, 0), False), ((-30, 250), True)])
async def test_words_are_where_they_are_printed(write: WriteFile, rotate: int, offset: Point, crop: bool) -> None:
    page = printed()
    original = scan(page, rotate=rotate, offset=offset, crop=crop)
    path = write("scan.pdf", original)
    async with open_document(path, FileType.PDF, dpi=DPI) as document:
        (rendered,) = [one async for one in document.render([1])]
    assert isinstance(rendered, RenderedPage)
    assert abs(rendered.width - page.width) <= 1, "the scan is seen upright"
    assert abs(rendered.height - page.height) <= 1, "the scan is seen upright"

    made = await searchable(path, text_of(page))
    assert made.startswith(original)
    assert_in_place(found_words(made), page.words)
    assert np.array_equal(pixels_of(made), pixels_of(original))
    check_by_qpdf(write("made.pdf", made))


@pytest.mark.parametrize("degrees", [-8, 3, 20])
async def test_words_of_a_skewed_scan_are_where_they_are_printed(write: WriteFile, degrees: float) -> None:
    page = printed()
    angle = math.radians(degrees)

    def tilted(point: Point) -> Point:
        x, y = point[0] - page.width / 2, point[1] - page.height / 2
        return (
            x * math.cos(angle) - y * math.sin(angle) + page.width / 2,
            x * math.sin(angle) + y * math.cos(angle) + page.height / 2,
        )

    lines = tuple(
        msgspec.structs.replace(line, box=tuple(tilted(corner) for corner in line.box)) for line in page.lines
    )
    made = await searchable(
        write("scan.pdf", scan(page)), PageText(page_no=1, width=page.width, height=page.height, lines=lines)
    )
    found = found_words(made)
    assert [text for text, _ in found] == [text for text, _ in page.words]
    for (text, box), (_, place) in zip(found, page.words, strict=True):
        assert math.dist(centre(box), tilted(centre(place))) < (place[3] - place[1]) / 2, text


@pytest.mark.parametrize("degrees", [-4.5, -1, 0.3, 2, 88, 91, 180.3, 267, 273])
async def test_pdftotext_finds_the_words_of_a_crooked_scan_whole(write: WriteFile, degrees: float) -> None:
    page = printed()
    side = page.width  # of a sheet on which it has room, however it lies
    angle = math.radians(degrees)

    def laid(point: Point) -> Point:
        x, y = point[0] - page.width / 2, point[1] - page.height / 2
        cosine, sine = math.cos(angle), math.sin(angle)
        return x * cosine - y * sine + side / 2, x * sine + y * cosine + side / 2

    lines = tuple(msgspec.structs.replace(line, box=tuple(map(laid, line.box))) for line in page.lines)
    blank = msgspec.structs.replace(page, pixels=np.full((side, side), 255, np.uint8))
    made = await searchable(write("scan.pdf", scan(blank)), PageText(page_no=1, width=side, height=side, lines=lines))
    found = words_by_pdftotext(write("made.pdf", made))
    assert Counter(word for word, _ in found) == Counter(word for word, _ in page.words)
    for word, place in page.words:
        nearest = min(math.dist(centre(box), laid(centre(place))) for text, box in found if text == word)
        assert nearest < (place[3] - place[1]) / 2, word


async def test_words_with_places_of_their_own_are_at_these(write: WriteFile) -> None:
    page = printed(["a b"])
    words = (("first", (50, 100, 120, 120)), ("second", (400, 100, 480, 120)))
    line = Line(
        text="first second",
        box=((50, 100), (480, 100), (480, 120), (50, 120)),
        words=tuple(Word(text=text, box=box) for text, box in words),
    )
    made = await searchable(
        write("scan.pdf", scan(page)), PageText(page_no=1, width=page.width, height=page.height, lines=(line,))
    )
    found = found_words(made)
    assert [text for text, _ in found] == ["first", "second"]
    for (_, box), (_, place) in zip(found, words, strict=True):
        assert box == pytest.approx(place, abs=2)


async def test_text_that_runs_down_is_beside_its_column(write: WriteFile) -> None:
    page = printed(["a"])
    line = Line(text="縦書きの文", box=((100, 50), (130, 50), (130, 250), (100, 250)))
    made = await searchable(
        write("scan.pdf", scan(page)), PageText(page_no=1, width=page.width, height=page.height, lines=(line,))
    )
    with mupdf.open(stream=made) as document:
        characters = [
            (char["c"], mupdf.Rect(char["bbox"]) * mupdf.Matrix(SCALE, SCALE))
            for block in document[0].get_text("rawdict")["blocks"]
            for found in block.get("lines", ())  # the scan is a block, too
            for span in found["spans"]
            for char in span["chars"]
            if char["c"] != " "  # which ends a line
        ]
    assert "".join(character for character, _ in characters) == line.text
    for number, (_, box) in enumerate(characters):
        assert centre(tuple(box)) == pytest.approx((115, 70 + 40 * number), abs=8)


@pytest.mark.parametrize(
    "text",
    [
        "שלום עולם, מה שלומך",
        "مرحبا بالعالم",
        "בְּרֵאשִׁית בָּרָא",
        "日本語の文字列と English words",
        "한국어 문장",
        "नमस्ते दुनिया",
        "e\u0301galite\u0301 cafe\u0301",
        "𠮷野家 😀 𝒳",
        "1 < 2 & (a) \\ [b] <c>",
    ],
)
async def test_text_of_any_script_is_found_as_it_was_read(write: WriteFile, text: str) -> None:
    page = printed(["a"])
    line = Line(text=text, box=((50, 100), (600, 100), (600, 140), (50, 140)))
    made = await searchable(
        write("scan.pdf", scan(page)), PageText(page_no=1, width=page.width, height=page.height, lines=(line,))
    )
    with mupdf.open(stream=made) as document:
        kept = mupdf.TEXT_PRESERVE_WHITESPACE | mupdf.TEXT_PRESERVE_LIGATURES
        assert " ".join(document[0].get_text(flags=kept).split()) == " ".join(text.split())


@pytest.mark.parametrize("save", [{}, {"use_objstms": 1}, {"garbage": 3, "deflate": True, "clean": True}])
async def test_what_is_new_follows_the_original(write: WriteFile, save: dict[str, Any]) -> None:
    page = printed()
    document = mupdf.open(stream=scan(page))
    document.new_page().insert_text((50, 50), "A page of its own text")
    document.set_toc([[1, "Chapter", 1]])
    original = bytes(document.tobytes(**save))

    made = await searchable(write("scan.pdf", original), text_of(page))
    assert made.startswith(original)
    with mupdf.open(stream=made) as after, mupdf.open(stream=original) as before:
        assert not after.is_repaired
        changed = {
            number
            for number in range(1, before.xref_length())
            if before.xref_object(number) != after.xref_object(number)
            or (before.xref_is_stream(number) and before.xref_stream_raw(number) != after.xref_stream_raw(number))
        }
        assert changed == {before[0].xref}
        assert after.get_toc() == before.get_toc()
        assert after[1].get_text() == before[1].get_text()
    assert np.array_equal(pixels_of(made, 2), pixels_of(original, 2))
    check_by_qpdf(write("made.pdf", made))


async def test_a_scan_grows_by_a_fifth_at_most(write: WriteFile) -> None:
    page = printed([*PROSE, *PROSE, *PROSE], height=500)
    grain = np.random.default_rng(7).integers(0, 40, page.pixels.shape, np.uint8)
    noisy = msgspec.structs.replace(page, pixels=np.maximum(page.pixels, 40) - grain)
    document = mupdf.open()
    sheets = 4
    for _ in range(sheets):
        sheet = document.new_page(width=page.width / SCALE, height=page.height / SCALE)
        sheet.insert_image(sheet.rect, stream=saved(Image.fromarray(noisy.pixels), "JPEG", quality=40))
    original = bytes(document.tobytes())

    made = await searchable(write("scan.pdf", original), *(text_of(page, n) for n in range(1, sheets + 1)))
    assert len(made) < 1.2 * len(original)
    for number in range(1, sheets + 1):
        assert_in_place(found_words(made, number), page.words)


async def test_a_pdf_that_restricts_its_use_keeps_its_protection(write: WriteFile) -> None:
    page = printed()
    original = scan(page, encryption=mupdf.PDF_ENCRYPT_AES_256, owner_pw="owner", permissions=mupdf.PDF_PERM_COPY)
    made = await searchable(write("scan.pdf", original), text_of(page))

    assert made.startswith(original)
    with mupdf.open(stream=made) as document:
        assert document.metadata["encryption"] is not None
        assert not document.needs_pass
    assert_in_place(found_words(made), page.words)
    check_by_qpdf(write("made.pdf", made))


@pytest.mark.parametrize("damage", ["cut", "preceded"])
async def test_a_damaged_pdf_is_written_anew(write: WriteFile, damage: str) -> None:
    page = printed()
    original = scan(page)
    broken = original[: original.rindex(b"xref")] if damage == "cut" else b"From: a mail gateway\r\n" + original
    made = await searchable(write("scan.pdf", broken), text_of(page))

    with mupdf.open(stream=made) as document:
        assert not document.is_repaired
    assert_in_place(found_words(made), page.words)
    assert np.array_equal(pixels_of(made), pixels_of(original))
    check_by_qpdf(write("made.pdf", made))


async def test_the_text_of_an_earlier_ocr_gives_way(write: WriteFile) -> None:
    page = printed()
    document = mupdf.open(stream=scan(page))
    document[0].insert_text((40, 62), "Tke committoo mot", fontsize=11, render_mode=3)
    original = bytes(document.tobytes())
    assert "committoo" in document[0].get_text()

    made = await searchable(write("scan.pdf", original), text_of(page))
    assert_in_place(found_words(made), page.words)
    assert np.array_equal(pixels_of(made), pixels_of(original))
    assert made.startswith(original)
    check_by_qpdf(write("made.pdf", made))


async def test_links_stay_where_the_text_of_an_earlier_ocr_gives_way(write: WriteFile) -> None:
    page = printed()
    document = mupdf.open(stream=scan(page))
    document[0].insert_text((40, 62), "Tke committoo mot", fontsize=11, render_mode=3)
    link = {"kind": mupdf.LINK_URI, "from": mupdf.Rect(36, 50, 200, 70), "uri": "https://example.org"}
    document[0].insert_link(link)
    made = await searchable(write("scan.pdf", bytes(document.tobytes())), text_of(page))

    assert_in_place(found_words(made), page.words)
    with mupdf.open(stream=made) as after:
        assert [(found["uri"], found["from"]) for found in after[0].get_links()] == [(link["uri"], link["from"])]
        assert list(after[0].annots()) == []


async def test_the_text_of_an_earlier_ocr_stays_where_no_line_can_be_placed(write: WriteFile) -> None:
    page = printed()
    document = mupdf.open(stream=scan(page))
    document[0].insert_text((40, 62), "Tke committoo mot", fontsize=11, render_mode=3)
    document.new_page()
    flat = Line(text="flat", box=((5, 5), (50, 5), (50, 5), (5, 5)))
    nothing = PageText(page_no=1, width=page.width, height=page.height, lines=(flat,))
    made = await searchable(write("scan.pdf", bytes(document.tobytes())), nothing, text_of(page, 2))
    assert [text for text, _ in found_words(made)] == ["Tke", "committoo", "mot"]
    assert found_words(made, 2)


async def test_invisible_text_beside_visible_text_stays(write: WriteFile) -> None:
    page = printed()
    document = mupdf.open(stream=scan(page))
    document[0].insert_text((40, 20), "EXHIBIT 12", fontsize=9)
    document[0].insert_text((40, 280), "hidden", fontsize=9, render_mode=3)
    made = await searchable(write("scan.pdf", bytes(document.tobytes())), text_of(page))

    text = {word for word, _ in found_words(made)}
    assert {"EXHIBIT", "hidden", "committee"} <= text


async def test_pages_without_lines_and_pages_that_are_not_there_change_nothing(write: WriteFile) -> None:
    original = scan(printed())
    nothing = PageText(page_no=1, width=100, height=100, lines=())
    far = PageText(page_no=9, width=100, height=100, lines=printed().lines)
    assert await searchable(write("scan.pdf", original), nothing, far) == original


async def test_places_that_make_no_sense_are_left_out(write: WriteFile) -> None:
    page = printed(["word"])
    odd = (
        Line(text="flat", box=((5, 5), (50, 5), (50, 5), (5, 5))),
        Line(text="point", box=((5, 5), (5, 5), (5, 5), (5, 5))),
        Line(text="far", box=((1e300, 5), (2e300, 5), (2e300, 9), (1e300, 9))),
        Line(text="  ", box=((5, 5), (50, 5), (50, 9), (5, 9))),
    )
    made = await searchable(
        write("scan.pdf", scan(page)),
        PageText(page_no=1, width=page.width, height=page.height, lines=(*odd, *page.lines)),
    )
    assert [text for text, _ in found_words(made)] == ["word"]


async def test_a_page_that_is_in_the_document_twice_has_its_text_once(write: WriteFile) -> None:
    page = printed()
    document = mupdf.open(stream=scan(page))
    pages = document.pdf_catalog()
    tree = int(document.xref_get_key(pages, "Pages")[1].split()[0])
    leaf = document[0].xref
    document.xref_set_key(tree, "Kids", f"[{leaf} 0 R {leaf} 0 R]")
    document.xref_set_key(tree, "Count", "2")
    made = await searchable(write("scan.pdf", bytes(document.tobytes())), text_of(page), text_of(page, 2))
    assert_in_place(found_words(made), page.words)


async def test_what_a_page_has_of_fonts_stays_and_no_name_is_taken(write: WriteFile) -> None:
    page = printed()
    once = await searchable(write("scan.pdf", scan(page)), PageText(page_no=1, width=0, height=0, lines=page.lines))
    assert_in_place(found_words(once), page.words)
    document = mupdf.open(stream=once)
    document[0].insert_text((40, 20), "EXHIBIT 12", fontsize=9)  # so that the old text is not taken away
    twice = await searchable(write("twice.pdf", bytes(document.tobytes())), text_of(page))

    names = {font[4] for font in mupdf.open(stream=twice)[0].get_fonts()}
    assert {"GnosisText", "GnosisText2"} <= names
    assert len(found_words(twice)) == 2 * len(page.words) + 2


async def test_what_is_no_document_says_so(write: WriteFile) -> None:
    with pytest.raises(Unreadable, match=r"damaged|No page|something else"):
        await searchable(write("a.pdf", b"%PDF-1.7\nnothing"), text_of(printed()))
    with pytest.raises(Unreadable, match="password"):
        locked = scan(printed(), encryption=mupdf.PDF_ENCRYPT_AES_256, user_pw="secret")
        await searchable(write("b.pdf", locked), text_of(printed()))
    with pytest.raises(Unreadable, match="damaged"):
        await searchable(write("gone.pdf", b"").with_name("none.pdf"))


def lying_child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str) -> None:
    """In place of the child: a program that opens any document, reads its input to the end, and then does `body`."""
    program = tmp_path / "child.py"
    program.write_text(
        textwrap.dedent(
            """
            import json, socket, struct, sys
            channel = socket.socket(fileno=0)
            frame = lambda kind, payload: channel.sendall(struct.pack(">BII", kind, 0, len(payload)) + payload)
            lines = channel.makefile("rb")
            lines.readline()
            frame(0, b'{"total_pages":1,"repaired":false}')
            for line in lines: pass
            """
        )
        + textwrap.dedent(body)
    )
    monkeypatch.setattr(rendering, "PROGRAM", (str(program),))


@pytest.mark.parametrize(
    "body",
    [
        "sys.exit(1)",
        "frame(4, b'{}')",
        "frame(2, b'png')",
        "frame(4, b'{\"appended\":false}'); sys.exit(1)",
        "frame(4, b'{\"appended\":false}'); frame(2, b'png')",
        "frame(4, b'{\"appended\":false}'); channel.sendall(struct.pack('>BII', 5, 0, 1 << 30))",
        "frame(4, b'{\"appended\":false}')\nwhile True: frame(5, bytes(1 << 20))",
    ],
)
async def test_a_child_that_is_taken_over_gives_a_reason_and_no_pdf(
    write: WriteFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    lying_child(monkeypatch, tmp_path, body)
    limits = RenderLimits(max_decoded_bytes=4_000_000)
    with pytest.raises(Unreadable, match="Print the document"):
        await searchable(write("scan.pdf", scan(printed())), text_of(printed()), limits=limits)


async def test_a_child_that_hangs_is_ended(
    write: WriteFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, let_time_pass: Callable[[float], None]
) -> None:
    lying_child(monkeypatch, tmp_path, "import time\ntime.sleep(3600)")

    async def then_time_passes() -> AsyncIterator[PageText]:
        yield text_of(printed())
        # After the parent has begun to wait for the PDF, which is next.
        asyncio.get_running_loop().call_soon(let_time_pass, RenderLimits().searchable_seconds + 1)

    with pytest.raises(Unreadable, match="longer than allowed"):
        async with searchable_pdf(write("scan.pdf", scan(printed())), FileType.PDF, then_time_passes()):
            pass


async def test_the_time_of_all_pages_counts(write: WriteFile, let_time_pass: Callable[[float], None]) -> None:
    async def slowly() -> AsyncIterator[PageText]:
        for _ in range(3):
            yield text_of(printed())
            # A hostile page may keep the child for less than the limit of each request, again and again.
            let_time_pass(RenderLimits().searchable_seconds / 2)
            await asyncio.sleep(0)

    with pytest.raises(Unreadable, match="longer than allowed"):
        async with searchable_pdf(write("scan.pdf", scan(printed())), FileType.PDF, slowly()):
            pass


async def test_a_child_that_sends_slowly_is_ended(
    write: WriteFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, let_time_pass: Callable[[float], None]
) -> None:
    lying_child(monkeypatch, tmp_path, "frame(4, b'{\"appended\":false}')\nwhile True: frame(5, b'%')")
    limits = RenderLimits()
    async with searchable_pdf(write("scan.pdf", scan(printed())), FileType.PDF, texts(), limits=limits) as chunks:
        with pytest.raises(Unreadable, match="longer than allowed"):
            for _ in range(10):
                assert await anext(chunks) == b"%"
                let_time_pass(limits.searchable_seconds / 5)


async def test_the_child_works_within_every_wall_of_this_machine(write: WriteFile) -> None:
    """The request names the walls that are there, and the child raises all of them or exits: see `tests/jail`."""
    seen: list[str] = []

    async def while_it_runs() -> AsyncIterator[PageText]:
        (child,) = psutil.Process().children()
        seen.append(Path(f"/proc/{child.pid}/status").read_text() if sys.platform == "linux" else "")
        yield text_of(printed())

    async with searchable_pdf(write("scan.pdf", scan(printed())), FileType.PDF, while_it_runs()) as chunks:
        assert [chunk async for chunk in chunks]
    if jail.Wall.SECCOMP in jail.supported():
        assert "Seccomp:\t2" in seen[0]
