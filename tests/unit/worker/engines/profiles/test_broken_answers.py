"""Answers that are not as documented: nothing is raised, no text is lost, and the page says so."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.page.block import Block
from libs.page.text import to_text
from services.worker.engines.profiles import chandra, deepseek, dots, nanonets, olmocr, paddle
from services.worker.engines.profiles.catalogue import PROFILES
from services.worker.engines.profiles.profile import Answer, Profile, View

VIEW = View(width=1000, height=2000, shown_width=500, shown_height=1000)

# An answer of each family, in which every word of the page is `w` and three digits.
ANSWERS = {
    "nanonets-ocr-s": (
        "<watermark>w001</watermark>\n\n# w002\n\nw003 **w004** $w005$\n\n<img>w006</img>\n\n- w007\n- w008\n\n"
        "<table><tr><td>w009</td></tr></table>\n\n<page_number>w010</page_number>"
    ),
    "olmocr-2": (
        "---\nprimary_language: en\nis_rotation_valid: True\nrotation_correction: 0\nis_table: False\n"
        "is_diagram: False\n---\n# w001\n\nw002\n\n![w003](page_5_6_7_8.png)\n\nw004"
    ),
    "lightonocr-2": "# w001\n\n![image](image_0.png)1,2,3,4\n\nw002 w003",
    "chandra-2": (
        '<div data-bbox="1 2 30 40" data-label="Section-Header"><h2>w001</h2></div>'
        '<div data-bbox="1 2 30 40" data-label="Text"><p>w002 <b>w003</b> <math>w004</math></p></div>'
        '<div data-bbox="1 2 30 40" data-label="Table"><table><tr><td>w005</td></tr></table></div>'
        '<div data-bbox="1 2 30 40" data-label="List-Group"><ul><li>w006</li><li>w007</li></ul></div>'
        '<div data-bbox="1 2 30 40" data-label="Code-Block"><pre>w008</pre></div>'
    ),
    "dots.ocr": (
        '[{"bbox": [1, 2, 30, 40], "category": "Title", "text": "# w001"}, '
        '{"bbox": [1, 2, 30, 40], "category": "Text", "text": "w002 w003"}, '
        '{"bbox": [1, 2, 30, 40], "category": "Table", "text": "<table><tr><td>w004</td></tr></table>"}, '
        '{"bbox": [1, 2, 30, 40], "category": "Formula", "text": "w005"}, '
        '{"bbox": [1, 2, 30, 40], "category": "List-item", "text": "- w006"}]'
    ),
    "deepseek-ocr-2": (
        "<|ref|>title<|/ref|><|det|>[[1, 2, 30, 40]]<|/det|>\n# w001\n\n"
        "<|ref|>image<|/ref|><|det|>[[1, 2, 30, 40]]<|/det|>\nw002\n\n"
        "<|ref|>table<|/ref|><|det|>[[1, 2, 30, 40]]<|/det|>\n<table><tr><td>w003</td></tr></table>\n\n"
        "<|ref|>text<|/ref|><|det|>[[1, 2, 30, 40]]<|/det|>\nw004"
    ),
    "paddleocr-vl": "w001\n\n<fcel>w002<lcel><nl><fcel>w003<ecel><nl>\n\nw004",
    "glm-ocr": "# w001\n\nw002\n\n| w003 |\n| --- |\n| w004 |",
}
KNOWN = [profile for profile in PROFILES if profile.name in ANSWERS]


def shown(blocks: tuple[Block, ...]) -> str:
    """All text of the blocks, wherever it stands in them."""
    return "\n".join([to_text(blocks, headers=True), *(f"{block.latex} {block.markdown}" for block in blocks)])


def words(text: str) -> set[str]:
    return set(re.findall(r"w\d{3}", text))


def check(profile: Profile, text: str) -> Answer:
    """The answer, in which every word and a box within the page is."""
    answer = profile.read(text, VIEW)
    assert words(shown(answer.blocks)) == words(text)
    for left, top, right, bottom in (block.box for block in answer.blocks if block.box is not None):
        assert 0 <= left < right <= VIEW.width
        assert 0 <= top <= bottom <= VIEW.height
    return answer


@pytest.mark.parametrize("profile", KNOWN, ids=lambda profile: profile.name)
def test_an_answer_that_is_cut_off_anywhere_keeps_every_word(profile: Profile) -> None:
    whole = ANSWERS[profile.name]
    assert not check(profile, whole).malformed
    for end in range(len(whole)):
        check(profile, whole[:end])


@pytest.mark.parametrize("profile", KNOWN, ids=lambda profile: profile.name)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_an_answer_that_is_damaged_anywhere_keeps_every_word(profile: Profile, data: st.DataObject) -> None:
    text = ANSWERS[profile.name]
    for _ in range(data.draw(st.integers(1, 4))):
        # Between words, so that a word is there or not.
        places = [0, *(found.end() for found in re.finditer(r"[^w\d]", text))]
        start = data.draw(st.sampled_from(places))
        end = data.draw(st.sampled_from([place for place in places if start <= place <= start + 20]))
        damage = data.draw(
            st.sampled_from(["", "<", ">", '"', "}", "[", "</div>", "<!--", "<script>", "<|ref|>", "---\n"])
        )
        text = text[:start] + damage + text[end:]
    check(profile, text)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
@settings(max_examples=20, deadline=None)
@given(text=st.text())
def test_no_answer_raises(profile: Profile, text: str) -> None:
    profile.read(text, VIEW)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (nanonets.read, "A <img>picture without an end."),
        (nanonets.read, "A.\n\n<table><tr><td>7"),
        (nanonets.read, "A</watermark>"),
        (olmocr.read, "---\nprimary_language: en\nThe page begins here.\n---\nA."),
        (olmocr.read, "---\nprimary_language: en\nis_table: perhaps\n---\nA."),
        (olmocr.read, "---\nprimary_language: en\nA."),
        (olmocr.read, "![A](page_9000_9000_10_10.png)"),
        (chandra.read, '<div data-bbox="1 2 3 4" data-label="Text">A'),
        (chandra.read, "A sentence outside."),
        (chandra.read, '<div data-bbox="1 2 3 4" data-label="Text>A</div><div data-label="Text">B</div>'),
        (chandra.read, '<div data-bbox="1 2 3 4" data-label="Text"><p class="x>A</p><p class="y">B</p></div>'),
        (chandra.read, '<div data-bbox="1 2 3" data-label="Text">A</div>'),
        (chandra.read, '<div data-label="Text">A</div>'),
        (chandra.read, '<div data-bbox="2000 2000 3000 3000" data-label="Text">A</div>'),
        (dots.read, "Plain text without JSON."),
        (dots.read, '[{"bbox": [1, 2, 3, 4], "category": "Text", "text": "A"}, {"bbox": [1, 2'),
        (dots.read, '[{"bbox": [1, 2, 3, 4], "category": "Text", "text": ["A"]}]'),
        (dots.read, '[{"bbox": [1, 2, 3, 4], "category": "Text", "text": 0}]'),
        (dots.read, '[{"bbox": [1, 2, 3, 4], "category": "Text", "text": "A", "more": "B"}]'),
        (dots.read, '[{"bbox": [1, 2, 3, NaN], "category": "Text", "text": "A"}]'),
        (dots.read, '[{"bbox": [3, 2, 1, 4], "category": "Text", "text": "A"}]'),
        (dots.read, '[{"bbox": [true, 2, 3, 4], "category": "Text", "text": "A"}]'),
        (dots.read, '[{"bbox": [1, 2, 3, 4], "category": "Text", "text": "A", "text": "B"}]'),
        (chandra.read, '<div data-bbox="1 2 3 4" data-label="Text"><b>A</b"B</p></div>'),
        (dots.read, '[{"bbox": "1234", "category": "Text", "text": "A"}]'),
        (dots.read, '[{"bbox": [1, 2, 3, 1' + "0" * 400 + '], "category": "Text", "text": "A"}]'),
        (dots.read, '[{"bbox": [1, 2, 3, 4], "category": "Table", "text": "no table"}]'),
        (deepseek.read, "<|ref|>text<|/ref|><|det|>[[1, 2, 3, 4]]\nA."),
        (deepseek.read, "<|ref|>text<|/ref|><|det|>[[1, 2, 3]]<|/det|>\nA."),
        (deepseek.read, "<|ref|>text<|/ref|><|det|>nothing<|/det|>\nA."),
        (paddle.read, "<fcel>A<nl><xcel><nl>"),
        (paddle.read, "<fcel>A<nl>B<nl>"),
        (paddle.read, "<ecel>" * 300 + "<nl>"),
    ],
)
def test_what_is_not_as_documented_is_reported(read: object, text: str) -> None:
    assert callable(read)
    answer = read(text, VIEW)
    assert answer.malformed
    for letter in set(re.findall(r"\b[AB7]\b", text)):
        assert letter in shown(answer.blocks)


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert('w001')</script>",
        "<style>w001</style>",
        "<!-- w001 -->",
        "<![CDATA[w001]]>",
        "<iframe srcdoc=x>w001</iframe>",
        '<a href="javascript:alert(1)">w001</a>',
        "<div>" * 50 + "w001" + "</div>" * 50,
        "<textarea>w001</textarea>",
        "<title>w001</title>",
        "<plaintext>w001",
    ],
)
def test_hostile_html_is_text(hostile: str) -> None:
    page = f'<div data-bbox="1 2 30 40" data-label="Text">{hostile} w002</div>'
    answer = chandra.read(page, VIEW)
    assert words(shown(answer.blocks)) == {"w001", "w002"}
    assert all("javascript:" not in block.markdown for block in answer.blocks)


@pytest.mark.parametrize("piece", ["[", '{"bbox":', '{"bbox":[', "<div>", "<fcel>", "<ul><li>", "<|ref|>"])
@pytest.mark.parametrize("profile", KNOWN, ids=lambda profile: profile.name)
def test_an_answer_may_be_nested_deeper_than_python_recurses(profile: Profile, piece: str) -> None:
    profile.read(piece * 1100, VIEW)
