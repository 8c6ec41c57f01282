import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from services.web.render.document import (
    FailedPage,
    RenderedPage,
    RenderLimits,
    Unreadable,
    open_document,
)
from services.web.render.filetype import FileType
from services.web.render.png import encode_png
from services.web.render.protocol import Fault
from tests.documents import WriteFile
from tests.rendering import grey_of, mupdf, one_page, opened, pdf, pixels, render, render_one

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")


async def test_page_n_out_is_page_n_in(write: WriteFile) -> None:
    rendered = await render(write("many.pdf", pdf(50)))
    assert [page.page_no for page in rendered] == list(range(1, 51))
    for page in rendered:
        assert np.all(pixels(page) == grey_of(page.page_no))


async def test_any_pages_in_any_order_may_be_asked_for(write: WriteFile) -> None:
    rendered = await render(write("many.pdf", pdf(9)), pages=[7, 2, 2, 9])
    assert [page.page_no for page in rendered] == [7, 2, 2, 9]
    assert [int(pixels(page)[70, 70]) for page in rendered] == [grey_of(n) for n in (7, 2, 2, 9)]


async def test_a_page_that_the_document_lacks_is_a_mistake_of_the_caller(write: WriteFile) -> None:
    async with open_document(write("a.pdf", pdf(2)), FileType.PDF) as document:
        with pytest.raises(ValueError, match="page 3"):
            [page async for page in document.render([1, 3])]


async def test_the_total_is_known_before_any_page(write: WriteFile) -> None:
    async with open_document(write("many.pdf", pdf(12)), FileType.PDF) as document:
        assert document.total_pages == 12
        assert not document.repaired


async def test_a_grey_page_is_grey_and_a_coloured_one_keeps_its_colour(write: WriteFile) -> None:
    document = mupdf.open()
    document.new_page(width=100, height=100).draw_line((10, 50), (90, 50), color=(0, 0, 0))
    document.new_page(width=100, height=100).draw_line((10, 50), (20, 50), color=(1, 0, 0), width=2)
    grey, coloured = (pixels(page) for page in await render(write("a.pdf", bytes(document.tobytes()))))
    assert grey.ndim == 2
    assert coloured[50, 15].tolist() == [255, 0, 0]


async def test_resolution_sets_the_size_and_is_recorded(write: WriteFile) -> None:
    (page,) = await render(write("a.pdf", pdf(1)), dpi=300)
    assert isinstance(page, RenderedPage)
    assert (page.width, page.height) == (600, 600)
    with Image.open(io.BytesIO(page.png)) as image:
        assert image.info["dpi"] == pytest.approx((300, 300), rel=1e-3)


async def test_the_rotation_of_a_page_is_honoured(write: WriteFile) -> None:
    def draw(page: Any) -> None:
        page.draw_rect((0, 0, 20, 20), color=None, fill=(0, 0, 0))
        page.set_rotation(90)

    turned = await render_one(write("a.pdf", one_page(100, 50, draw)), FileType.PDF)
    assert turned.shape == (100, 50)
    assert turned[10, 40] == 0  # what was at the top left is at the top right
    assert turned[10, 10] == 255


async def test_annotations_are_drawn(write: WriteFile) -> None:
    def draw(page: Any) -> None:
        annotation = page.add_rect_annot((20, 20, 80, 80))
        annotation.set_colors(stroke=(0, 0, 1), fill=(0, 0, 1))
        annotation.update()

    drawn = await render_one(write("a.pdf", one_page(100, 100, draw)), FileType.PDF)
    assert drawn[50, 50].tolist() == [0, 0, 255]


@pytest.mark.parametrize(("side", "expected"), [(999, 999), (1000, 1000), (1001, 1000), (5000, 1000)])
async def test_a_page_past_the_side_limit_is_rendered_smaller(write: WriteFile, side: int, expected: int) -> None:
    page = await render_one(write("a.pdf", one_page(side, 100)), FileType.PDF, RenderLimits(max_side=1000))
    assert page.shape[1] == expected


@pytest.mark.parametrize(
    ("width", "height", "whole"), [(199, 50, True), (200, 50, True), (201, 50, False), (900, 700, False)]
)
async def test_a_page_past_the_area_limit_is_rendered_smaller(
    write: WriteFile, width: int, height: int, whole: bool
) -> None:
    limits = RenderLimits(max_pixels=10_000)
    page = await render_one(write("a.pdf", one_page(width, height)), FileType.PDF, limits)
    assert (page.shape == (height, width)) is whole
    assert 9_300 < page.size <= 10_000
    assert page.shape[1] / page.shape[0] == pytest.approx(width / height, rel=0.03)


async def test_a_page_of_less_than_a_pixel_fails_alone(write: WriteFile) -> None:
    document = mupdf.open()
    document.new_page(width=4000, height=2)
    document.new_page(width=4000, height=2000)
    path = write("a.pdf", bytes(document.tobytes()))
    tiny, whole = await render(path, limits=RenderLimits(max_side=1000))
    assert isinstance(tiny, FailedPage)
    assert "less than one pixel" in tiny.reason
    assert isinstance(whole, RenderedPage)


async def test_a_page_that_is_missing_fails_alone(write: WriteFile) -> None:
    document = mupdf.open("pdf", pdf(3))
    document.xref_set_key(document.page_xref(1), "Type", "/Catalog")
    kids = document.xref_get_key(document.pdf_catalog(), "Pages")[1].split()[0]
    document.xref_set_key(int(kids), "Count", "4")
    rendered = await render(write("a.pdf", bytes(document.tobytes())))
    assert [page.page_no for page in rendered] == [1, 2, 3, 4]
    assert any(isinstance(page, FailedPage) and "damaged" in page.reason for page in rendered)
    assert any(isinstance(page, RenderedPage) for page in rendered)


# Documents that yield nothing


def empty_pdf() -> bytes:
    return (
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n"
        b"trailer<</Root 1 0 R>>\n%%EOF\n"
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (pdf(1, encryption=mupdf.PDF_ENCRYPT_AES_256, user_pw="secret"), "password"),
        (b"<!DOCTYPE html><html><body><h1>Invoice</h1></body></html>", "something else inside"),
        (
            b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
            "something else",
        ),
        (pdf(1)[:60], "upload it again"),
        (empty_pdf(), "No page"),
        (b"%PDF-1.7\n", "upload it again"),
        (b"", "upload it again"),
    ],
    ids=["encrypted", "html", "svg", "cut off", "no pages", "header only", "empty"],
)
async def test_a_pdf_that_yields_no_page_says_why(write: WriteFile, content: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        await opened(write("a.pdf", content), FileType.PDF)


ENCRYPTIONS = {
    "RC4 40": mupdf.PDF_ENCRYPT_RC4_40,
    "RC4 128": mupdf.PDF_ENCRYPT_RC4_128,
    "AES 128": mupdf.PDF_ENCRYPT_AES_128,
    "AES 256": mupdf.PDF_ENCRYPT_AES_256,
}


@pytest.mark.parametrize("encryption", ENCRYPTIONS)
async def test_the_password_of_the_user_or_of_the_owner_opens_an_encrypted_pdf(
    write: WriteFile, encryption: str
) -> None:
    path = write("a.pdf", pdf(2, encryption=ENCRYPTIONS[encryption], user_pw=" geh\u00efm 1", owner_pw="owner"))
    for password in (" geh\u00efm 1", "owner"):
        async with open_document(path, FileType.PDF, password=password) as document:
            pages = [page async for page in document.render([1, 2])]
        assert all(isinstance(page, RenderedPage) for page in pages)
        assert [int(pixels(page)[70, 70]) for page in pages] == [grey_of(1), grey_of(2)]
    for wrong in ("geh\u00efm 1", "Owner", ""):
        with pytest.raises(Unreadable) as refused:
            async with open_document(path, FileType.PDF, password=wrong):
                pass
        assert refused.value.fault is Fault.WRONG_PASSWORD


async def test_a_password_that_nothing_asks_for_does_not_matter(write: WriteFile) -> None:
    for path, kind in (
        (write("a.pdf", pdf(1)), FileType.PDF),
        (write("a.png", encode_png(np.zeros((9, 9), np.uint8))), FileType.PNG),
    ):
        async with open_document(path, kind, password="secret") as document:
            assert document.total_pages == 1


async def test_an_owner_password_alone_does_not_matter(write: WriteFile) -> None:
    content = pdf(1, encryption=mupdf.PDF_ENCRYPT_AES_256, owner_pw="secret")
    assert (await opened(write("a.pdf", content), FileType.PDF)).total_pages == 1


async def test_a_pdf_cut_off_after_its_pages_is_repaired_and_says_so(write: WriteFile) -> None:
    content = pdf(5)
    document = await opened(write("a.pdf", content[: content.rindex(b"xref\n0 ")]), FileType.PDF)
    assert document.repaired
    assert document.total_pages == 5


def written_pdf(pages: int, **options: object) -> bytes:
    """Pages full of text, their content after all else in the file."""
    document = mupdf.open()
    for page_no in range(1, pages + 1):
        page = document.new_page(width=300, height=400)
        for line in range(20):
            page.insert_text((20, 30 + 15 * line), f"Page {page_no}, line {line} of the report")
    return bytes(document.tobytes(garbage=3, clean=True, **options))


@pytest.mark.parametrize("share", [0.5, 0.7])
async def test_pages_whose_content_was_cut_off_fail_and_are_never_blank(write: WriteFile, share: float) -> None:
    content = written_pdf(10)
    path = write("a.pdf", content[: int(len(content) * share)])
    assert (await opened(path, FileType.PDF)).repaired
    rendered = await render(path)
    missing = [page.page_no for page in rendered if isinstance(page, FailedPage)]
    assert missing == list(range(missing[0], 11))
    assert missing[0] > 1
    assert all("content is missing" in page.reason for page in rendered if isinstance(page, FailedPage))
    assert all(pixels(page).min() < 128 for page in rendered[: missing[0] - 1])


async def test_a_page_whose_content_does_not_decode_fails_though_the_file_needs_no_repair(write: WriteFile) -> None:
    content = written_pdf(2, deflate=True)
    start = content.rindex(b"stream\n", 0, content.rindex(b"endstream")) + len(b"stream\n")
    path = write("a.pdf", content[:start] + b"\xff" * 40 + content[start + 40 :])
    assert not (await opened(path, FileType.PDF)).repaired
    sound, damaged = await render(path)
    assert isinstance(sound, RenderedPage)
    assert isinstance(damaged, FailedPage)
    assert "content is missing" in damaged.reason


async def test_a_blank_page_of_a_sound_document_is_drawn(write: WriteFile) -> None:
    document = mupdf.open("pdf", written_pdf(2))
    document.new_page(width=100, height=100)
    assert (pixels((await render(write("a.pdf", bytes(document.tobytes()))))[2]) == 255).all()


@pytest.mark.parametrize(("pages", "fits"), [(2, True), (3, True), (4, False)])
async def test_a_document_of_too_many_pages_is_refused(write: WriteFile, pages: int, fits: bool) -> None:
    path = write("a.pdf", pdf(pages))
    if fits:
        assert (await opened(path, FileType.PDF, RenderLimits(max_pages=3))).total_pages == pages
    else:
        with pytest.raises(Unreadable, match=r"too many pages.*limit is 3"):
            await opened(path, FileType.PDF, RenderLimits(max_pages=3))


async def test_a_missing_file_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(Unreadable):
        await opened(tmp_path / "gone.pdf", FileType.PDF)
