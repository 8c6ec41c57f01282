"""Rules in the pixels of a page: those of tables are found, strokes of letters and pictures are not."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from libs.page.block import Rect
from services.worker.engines.lines import rules


def sheet() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (1240, 1754), "white")
    return image, ImageDraw.Draw(image)


def found(image: Image.Image) -> tuple[Rect, ...]:
    return rules.find(np.asarray(image))


def near(rule: Rect, wanted: Rect) -> bool:
    return all(abs(a - b) <= 4 for a, b in zip(rule, wanted, strict=True))


@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("colour", ["black", "#999999"])
def test_rules_of_a_table_are_found_where_they_are(width: int, colour: str) -> None:
    image, draw = sheet()
    for y in (300, 360, 420):
        draw.line((100, y, 900, y), colour, width)
    for x in (100, 500, 900):
        draw.line((x, 300, x, 420), colour, width)
    wanted = [(100, y, 900, y) for y in (300, 360, 420)] + [(x, 300, x, 420) for x in (100, 500, 900)]
    assert len(found(image)) == 6
    assert all(near(rule, place) for rule, place in zip(found(image), wanted, strict=True))


def test_rule_of_a_page_that_is_a_little_tilted_is_one_rule() -> None:
    image, draw = sheet()
    draw.line((100, 300, 1100, 310), "black", 2)
    (rule,) = found(image)
    assert near(rule, (100, 300, 1100, 310))


def test_text_and_pictures_have_no_rules() -> None:
    image, draw = sheet()
    for size, top in ((20, 100), (40, 300), (60, 500)):
        draw.text((100, top), "Little HILL, 1111 EFFECTS |||", "black", ImageFont.load_default(size))
    draw.rectangle((100, 800, 600, 1200), "#444444")
    assert [rule for rule in found(image) if rule[3] - rule[1] < 20 and rule[1] < 790] == []


def test_hatching_of_a_picture_is_no_table() -> None:
    image, draw = sheet()
    for y in range(10, 1700, 8):
        for x in range(20, 1200, 110):
            draw.line((x, y, x + 80, y), "black", 1)
    assert found(image) == ()


def box(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def test_box_of_text_is_cut_at_the_upright_rules_that_run_through_it() -> None:
    quads = np.array([box(100, 100, 500, 130), box(100, 200, 500, 230)])
    level = ((90.0, 50.0, 510.0, 52.0), (90.0, 180.0, 510.0, 182.0))
    drawn = ((298.0, 50.0, 302.0, 180.0), (395.0, 190.0, 397.0, 215.0), *level)
    cut = rules.cut(quads, drawn)
    assert cut.tolist() == [box(100, 100, 300, 130), box(300, 100, 500, 130), box(100, 200, 500, 230)]


def test_rule_at_the_edge_of_a_box_cuts_nothing() -> None:
    quads = np.array([box(100, 100, 500, 130)])
    level = ((90.0, 50.0, 510.0, 52.0), (90.0, 180.0, 510.0, 182.0))
    edges = ((104.0, 50.0, 106.0, 180.0), (494.0, 50.0, 496.0, 180.0))
    assert rules.cut(quads, (*edges, *level)).tolist() == quads.tolist()
    assert rules.cut(quads, ()).tolist() == quads.tolist()


def test_rule_that_meets_no_others_cuts_nothing() -> None:
    quads = np.array([box(100, 100, 500, 130)])
    assert rules.cut(quads, ((298.0, 50.0, 302.0, 180.0),)).tolist() == quads.tolist()
    assert rules.cut(quads, ((298.0, 50.0, 302.0, 180.0), (90.0, 50.0, 510.0, 52.0))).tolist() == quads.tolist()
