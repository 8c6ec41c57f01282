"""Which pages a request names: a list, or a text such as "0,2-4", counted from 0."""

from collections.abc import Iterable, Iterator

import msgspec

from services.serving.problem import Problem

#: Parts of a text, or numbers of a list, at most. Chosen: more than any document has pages.
MOST_PARTS = 10_000
#: Characters of a selection at most, which is decoded whole. Chosen: room for so many ranges.
MOST_CHARACTERS = 200_000
_MOST_DIGITS = 8


def selection(pages: list[int] | str | None) -> str:
    """The same as a job's option `pages`, counted from 1; "" for all pages. Raises `Problem` 422."""
    if pages is None or pages in ([], ""):
        return ""
    ranges = _listed(pages) if isinstance(pages, list) else _written(pages)
    return ",".join(_text(first, last) for first, last in _merged(ranges))


def written_selection(text: str) -> str:
    """The same for `pages` as it is written in JSON or in a form: `[0, 2]`, `"0,2-4"`, `0,2-4`, `null` or nothing."""
    if len(text) > MOST_CHARACTERS:
        raise _bad(f"it has more than {MOST_CHARACTERS:,} characters")
    try:
        return selection(msgspec.json.decode(text, type=list[int] | str | None))
    except msgspec.MsgspecError:
        return selection(text)


def _listed(pages: list[int]) -> list[tuple[int, int]]:
    if len(pages) > MOST_PARTS or any(not 0 <= page < 10**_MOST_DIGITS for page in pages):
        raise _bad("a page in it is not one of any document")
    return [(page, page) for page in pages]


def _written(text: str) -> list[tuple[int, int]]:
    parts = text.split(",")
    if len(parts) > MOST_PARTS:
        raise _bad("it has too many parts")
    found = []
    for part in parts:
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        numbers = [first, last if dash else first]
        if not all(number.isascii() and number.isdigit() and len(number) <= _MOST_DIGITS for number in numbers):
            raise _bad(f"{part.strip()[:40]!r} is neither a page nor a range of pages")
        start, end = map(int, numbers)
        if end < start:
            raise _bad(f"the range {part.strip()[:40]!r} runs backwards")
        found.append((start, end))
    return found


def _merged(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """In order and without overlap, so that two ways to name the same pages are one reading."""
    held: tuple[int, int] | None = None
    for first, last in sorted(ranges):
        if held is not None and first <= held[1] + 1:
            held = held[0], max(held[1], last)
            continue
        if held is not None:
            yield held
        held = first, last
    if held is not None:
        yield held


def _text(first: int, last: int) -> str:
    return str(first + 1) if first == last else f"{first + 1}-{last + 1}"


def _bad(fault: str) -> Problem:
    return Problem(
        422, "Bad pages", f"pages cannot be used: {fault}.", 'Send [0, 2, 3] or "0,2-3": page 0 is the first.'
    )
