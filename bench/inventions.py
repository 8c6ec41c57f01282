"""Inventions planted into the true text of scans: how many of them the cross-check flags, and what it flags wrongly.

    python -m bench.inventions --corpus PATH [--pages 40] [--cache FOLDER] [--json OUT]

The corpus is a folder of folders (default: `groundtruth` in `$GNOSIS_CORPUS`); in them `X.txt` is the text of page
image `X`. Each page is read by the CPU engine, the second reading of the cross-check; `--cache` keeps the readings.
As a model's answer are taken: the true text (what is flagged of these is a false alarm), and the true text with a
plausible sentence, with a paragraph, or with ten numbers changed (of the pages that have ten), and the true text of
another document.
"""

import argparse
import asyncio
import os
import random
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

import msgspec

from bench.accuracy import Page, ours, pages
from libs.page.script import main_script
from libs.page.trust import Trust
from services.worker.engines.guard.comparison import by_engine
from services.worker.engines.select import create_engine

#: Sentences as a language model would go on: none is in the corpus.
SENTENCES = (
    "The committee was pleased to note that the remaining difficulties had been settled to the satisfaction of all.",
    "It is generally agreed that such arrangements offer a considerable advantage over those which were used before.",
    "No further information about the circumstances of his departure has been preserved in the records of the family.",
    "In the following spring the work was taken up again, and before the summer the greater part had been finished.",
    "These results suggest that the method may be applied with equal success to a much wider range of questions.",
)
_NUMBER = re.compile(r"(?<![A-Za-z\d])\d+")


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """An answer, and what the cross-check says of it."""

    page: str
    folder: str
    kind: str
    trust: Trust


def true(page: Page, other: Page, chance: random.Random) -> str | None:
    """The true text."""
    return page.truth


def sentence(page: Page, other: Page, chance: random.Random) -> str | None:
    """One sentence between two lines."""
    return _planted(page.truth, chance.choice(SENTENCES), chance)


def paragraph(page: Page, other: Page, chance: random.Random) -> str | None:
    """Three sentences between two lines."""
    return _planted(page.truth, " ".join(chance.sample(SENTENCES, 3)), chance)


def numbers(page: Page, other: Page, chance: random.Random) -> str | None:
    """Ten numbers with another digit each; None for a page with fewer."""
    found = [*_NUMBER.finditer(page.truth)]
    if len(found) < 10:
        return None
    text = page.truth
    for number in sorted(chance.sample(found, 10), key=lambda number: -number.start()):
        at = chance.randrange(number.start(), number.end())
        text = f"{text[:at]}{(int(text[at]) + chance.randint(1, 9)) % 10}{text[at + 1 :]}"
    return text


def another(page: Page, other: Page, chance: random.Random) -> str | None:
    """The text of another document's page."""
    return other.truth


KINDS: tuple[Callable[[Page, Page, random.Random], str | None], ...] = (true, sentence, paragraph, numbers, another)


def _planted(text: str, invention: str, chance: random.Random) -> str:
    lines = text.split("\n")
    at = chance.randint(0, len(lines))
    return "\n".join([*lines[:at], invention, *lines[at:]])


def chosen(found: Sequence[Page], count: int) -> list[Page]:
    """Pages of all folders in turn, and upright, since a model gets them so."""
    folders: dict[str, list[Page]] = {}
    for page in found:
        if "rotated" not in page.name:
            folders.setdefault(page.folder, []).append(page)
    mixed = (page for row in zip_longest(*folders.values()) for page in row if page is not None)
    return [page for page, _ in zip(mixed, range(count), strict=False)]


def _other(found: Sequence[Page], at: int) -> Page:
    """A page of another folder in the same script, where there is one: another script would be noticed by itself."""
    page, others = found[at], [*found[at + 1 :], *found[:at]]
    script = main_script(page.truth)
    alike = [other for other in others if other.folder != page.folder and main_script(other.truth) == script]
    return (alike or others)[0]


def cases(found: Sequence[Page], read: Callable[[Page], str]) -> Iterator[Case]:
    """Every answer of every page, compared with the page's reading."""
    for at, page in enumerate(found):
        reading, other = read(page), _other(found, at)
        for kind in KINDS:
            answer = kind(page, other, random.Random(f"{page.folder}/{page.name}/{kind.__name__}"))
            if answer is not None:
                trust = by_engine(answer, reading)
                yield Case(page=page.name, folder=page.folder, kind=kind.__name__, trust=trust)


def table(done: Sequence[Case]) -> str:
    """The share flagged by kind, and by which doubts."""
    lines = ["| answers | pages | compared | flagged | by |", "|---|---|---|---|---|"]
    for kind in KINDS:
        of_kind = [case for case in done if case.kind == kind.__name__]
        flagged = [case for case in of_kind if case.trust.doubts]
        compared = sum(case.trust.figure is not None for case in of_kind)
        doubts = [doubt for case in flagged for doubt in case.trust.doubts]
        by = ", ".join(f"{doubt} {doubts.count(doubt)}" for doubt in sorted(set(doubts)))
        share = f"{len(flagged)} ({len(flagged) / len(of_kind):.0%})" if of_kind else "0"
        lines.append(f"| {kind.__name__} | {len(of_kind)} | {compared} | {share} | {by} |")
    return "\n".join(lines)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.inventions", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--corpus", type=Path, default=os.environ.get("GNOSIS_CORPUS"))
    parser.add_argument("--pages", type=int, default=40)
    parser.add_argument("--cache", type=Path, help="a folder that keeps what was read")
    parser.add_argument("--json", type=Path, help="also write every case here")
    options = parser.parse_args()
    if options.corpus is None or not options.corpus.is_dir():
        parser.error("name the corpus with --corpus or in GNOSIS_CORPUS")
    corpus = options.corpus / "groundtruth" if (options.corpus / "groundtruth").is_dir() else options.corpus
    with asyncio.Runner() as runner:
        engine = ours(create_engine("rapidocr"), runner)

        def read(page: Page) -> str:
            kept = options.cache / f"{page.folder}-{page.name}.md" if options.cache else None
            if kept is not None and kept.is_file():
                return str(kept.read_text(encoding="utf-8"))
            text, _ = engine(page.png, page.language)
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(text, encoding="utf-8")
            return text

        done = [*cases(chosen(pages(corpus, [], None), options.pages), read)]
    print(table(done))
    if options.json:
        options.json.write_bytes(msgspec.json.encode(done))
    return 0


if __name__ == "__main__":
    sys.exit(main())
