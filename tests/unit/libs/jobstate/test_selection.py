import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.jobstate.selection import ALL_PAGES, parse_pages


@pytest.mark.parametrize(
    ("text", "total", "expected"),
    [
        ("1-5,8,12-", 14, (1, 2, 3, 4, 5, 8, 12, 13, 14)),
        ("3", 3, (3,)),
        ("2-", 2, (2,)),
        (" 1 - 2 , 4 ", 9, (1, 2, 4)),
        ("4,1-3,2,2-3", 9, (1, 2, 3, 4)),
        ("5-,1-,7", 3, (1, 2, 3)),
        ("2-900000000", 4, (2, 3, 4)),
        ("1,40", 3, (1,)),
    ],
)
def test_a_selection_names_its_pages_in_order_and_once(text: str, total: int, expected: tuple[int, ...]) -> None:
    assert parse_pages(text).resolve(total) == expected


def test_all_pages_is_every_page() -> None:
    assert ALL_PAGES.resolve(3) == (1, 2, 3)
    assert parse_pages("1-") == ALL_PAGES


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "is empty"),
        ("   ", "is empty"),
        ("1,,2", "empty place"),
        ("1,", "empty place"),
        ("0", "counted from 1"),
        ("0-3", "counted from 1"),
        ("5-3", "runs backwards"),
        ("-3", "not a page"),
        ("one", "not a page"),
        ("1-2-3", "not a page"),
        ("1.5", "not a page"),
        ("+1", "not a page"),
        ("²", "not a page"),
        ("9" * 4000, "larger number"),
        ("1," * 6000 + "1", "longer than"),
    ],
)
def test_a_bad_selection_is_refused_with_a_sentence_and_an_example(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as caught:
        parse_pages(text)
    assert '"1-5,8,12-"' in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("text", ["4", "4-9", "7,4-"])
def test_a_selection_wholly_past_the_end_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"has 3 pages.*from 1 to 3"):
        parse_pages(text).resolve(3)


numbers = st.integers(1, 60)
parts = st.one_of(
    st.tuples(numbers, numbers).map(lambda pair: (min(pair), max(pair))),
    st.tuples(numbers, st.none()),
)


@given(st.lists(parts, min_size=1, max_size=8), st.integers(1, 70))
def test_a_selection_is_the_union_of_its_parts(ranges: list[tuple[int, int | None]], total: int) -> None:
    text = ",".join(f"{first}-{'' if last is None else last}" for first, last in ranges)
    expected = {
        page
        for page in range(1, total + 1)
        if any(first <= page and (last is None or page <= last) for first, last in ranges)
    }
    if expected:
        assert parse_pages(text).resolve(total) == tuple(sorted(expected))
    else:
        with pytest.raises(ValueError):
            parse_pages(text).resolve(total)
