"""Pictures that are figures, and where they stand among the blocks of the page."""

from libs.page.block import Block, BlockKind, Line, Rect
from services.worker.engines.lines.figures import figures, with_figures
from services.worker.engines.lines.layout import lay_out
from services.worker.engines.lines.page_reader import PageLines
from services.worker.engines.lines.pose import Pose

SIZE = (800, 2000)
PHOTO: Rect = (400, 300, 750, 700)


def line(text: str, left: float, top: float, width: float, height: float = 20.0) -> Line:
    right, bottom = left + width, top + height
    return Line(text=text, box=((left, top), (right, top), (right, bottom), (left, bottom)))


def prose(top: float, count: int, left: float = 50, width: float = 700) -> list[Line]:
    return [line("some words that run to the margin", left, top + 26 * i, width) for i in range(count)]


def test_bullets_backdrops_and_scans_are_no_figures() -> None:
    bullet, backdrop, scan = (50.0, 100.0, 70.0, 120.0), (40.0, 290.0, 760.0, 600.0), (0.0, 0.0, 800.0, 2000.0)
    assert figures([bullet], [], SIZE, 20) == []
    assert figures([backdrop], prose(300, 10), SIZE, 20) == []
    assert figures([scan], [], SIZE, 20) == []
    assert figures([PHOTO], prose(800, 10), SIZE, 20) == [PHOTO]


def test_picture_with_a_few_labels_is_a_figure() -> None:
    assert figures([PHOTO], [line("a label", 450, 350, 80)], SIZE, 20) == [PHOTO]


def test_strips_that_touch_are_one_figure_and_pictures_apart_are_two() -> None:
    strips: list[Rect] = [(100, 100 + 30 * i, 500, 130 + 30 * i) for i in range(10)]
    assert figures(strips[::2] + strips[1::2], [], SIZE, 20) == [(100, 100, 500, 400)]
    assert len(figures([(100, 100, 200, 200), (220, 100, 320, 200)], [], SIZE, 20)) == 2


def test_figure_stands_before_its_caption_and_after_the_text_above_it() -> None:
    above = Block(kind=BlockKind.PARAGRAPH, text="above", box=(50, 100, 750, 280))
    beside = Block(kind=BlockKind.PARAGRAPH, text="beside", box=(50, 300, 380, 700))
    caption = Block(kind=BlockKind.CAPTION, text="Figure 1", box=(400, 710, 750, 730))
    foot = Block(kind=BlockKind.PAGE_NUMBER, text="7", box=(390, 1900, 410, 1920))
    found = with_figures([above, beside, caption, foot], [PHOTO])
    assert [block.text or block.kind.value for block in found] == ["above", "beside", "figure", "Figure 1", "7"]
    assert [block.text or block.kind.value for block in with_figures([above, foot], [PHOTO])] == [
        "above",
        "figure",
        "7",
    ]


def test_figure_of_a_turned_page_has_its_place_on_the_stored_page_and_text_keeps_its_order() -> None:
    pose = Pose(width=2000, height=800, rotation=270)
    page = PageLines(pose=pose, lines=tuple(prose(800, 12)), pictures=(PHOTO,))
    figure, text = lay_out(page)
    assert (figure.kind, figure.text, text.kind) == (BlockKind.FIGURE, "", BlockKind.PARAGRAPH)
    assert figure.box is not None
    left, top, right, bottom = figure.box
    assert (right - left, bottom - top) == (PHOTO[3] - PHOTO[1], PHOTO[2] - PHOTO[0])
    assert lay_out(PageLines(pose=pose, lines=page.lines)) == (text,)
