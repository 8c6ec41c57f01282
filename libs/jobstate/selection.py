"""Which pages of a document are asked for: "1-5,8,12-"."""

import msgspec

_EXAMPLE = 'Write pages and ranges separated by commas, for example "1-5,8,12-".'
_MAX_CHARACTERS = 10_000
_MAX_DIGITS = 9


class PageSelection(msgspec.Struct, frozen=True):
    """Which pages of a document are selected."""

    #: 1-based, both ends included, in order and without overlap; `None` is an open end.
    ranges: tuple[tuple[int, int | None], ...]

    def resolve(self, total: int) -> tuple[int, ...]:
        """The selected pages of a document of `total` pages, in order. Pages past the end are dropped.

        Raises `ValueError` with a sentence for the user when none is left.
        """
        pages: list[int] = []
        for first, last in self.ranges:
            pages.extend(range(first, (total if last is None else min(last, total)) + 1))
        if not pages:
            has = "1 page" if total == 1 else f"{total} pages"
            raise ValueError(
                f"The document has {has}, and none of them is selected: the selection begins at page "
                f"{self.ranges[0][0]}. Choose pages from 1 to {total}."
            )
        return tuple(pages)


ALL_PAGES = PageSelection(((1, None),))


def parse_pages(text: str) -> PageSelection:
    """Read a selection such as "1-5,8,12-".

    Overlaps and duplicates are merged. Raises `ValueError` with a sentence for the user.
    """
    if len(text) > _MAX_CHARACTERS:
        raise ValueError(f"The page selection is longer than {_MAX_CHARACTERS} characters. {_EXAMPLE}")
    if not text.strip():
        raise ValueError(f"The page selection is empty. {_EXAMPLE}")
    return PageSelection(_merged([_parse_range(part.strip()) for part in text.split(",")]))


def _parse_range(part: str) -> tuple[int, int | None]:
    if not part:
        raise ValueError(f"The page selection has an empty place between commas. {_EXAMPLE}")
    first_text, dash, last_text = (piece.strip() for piece in part.partition("-"))
    first = _parse_number(first_text, part)
    if not dash:
        return first, first
    if not last_text:
        return first, None
    last = _parse_number(last_text, part)
    if last < first:
        raise ValueError(f'The range "{part}" runs backwards. {_EXAMPLE}')
    return first, last


def _parse_number(text: str, part: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f'"{part[:40]}" is not a page or a range of pages. {_EXAMPLE}')
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"Page {text[:_MAX_DIGITS]}... is a larger number than any page has. {_EXAMPLE}")
    number = int(text)
    if number < 1:
        raise ValueError(f'Pages are counted from 1, and "{part}" names page 0. {_EXAMPLE}')
    return number


def _merged(ranges: list[tuple[int, int | None]]) -> tuple[tuple[int, int | None], ...]:
    merged: list[tuple[int, int | None]] = []
    for first, last in sorted(ranges, key=lambda r: r[0]):
        if merged:
            previous_first, previous_last = merged[-1]
            if previous_last is None:
                break
            if first <= previous_last + 1:
                merged[-1] = (previous_first, None if last is None else max(previous_last, last))
                continue
        merged.append((first, last))
    return tuple(merged)
