"""Words that the end of a line divides are joined, and hyphens that belong to a word stay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.engines.lines.hyphen import DIVIDERS, HYPHENS, join, words_of


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["who went to in-", "vestigate it"], ["who went to investigate", "it"]),
        (["in the discre-", "pancy, of"], ["in the discrepancy,", "of"]),
        (["the EXER-", "CISES of"], ["the EXERCISES", "of"]),
        (["at Constan-", "tinople."], ["at Constantinople."]),
        (["die Verfas-", "sung der"], ["die Verfassung", "der"]),
        (["in dreizehn\u00ad", "Jahren"], ["in dreizehnJahren"]),
        (["the exam¬", "ple"], ["the example"]),
        (["an un-", "der-", "standing one"], ["an understanding", "one"]),
        (["down that com-", "panion-way, and"], ["down that companion-way,", "and"]),
        # Real hyphens.
        (["a well-", "known case"], ["a well-known", "case"]),
        (["his self-", "respect."], ["his self-respect."]),
        (["the Franco-", "Prussian war"], ["the Franco-Prussian", "war"]),
        (["a state-of-the-", "art tool"], ["a state-of-the-art", "tool"]),
        (["a state-", "of-the-art tool"], ["a state-of-the-art", "tool"]),
        (["mother-in-", "law"], ["mother-in-law"]),
        (["an e-", "mail"], ["an e-mail"]),
        (["from 1914-", "1918"], ["from 1914-1918"]),
        (["the A-", "4 sheet"], ["the A-4", "sheet"]),
        (["lui-", "même ici"], ["lui-même", "ici"]),
        (["Geld- und Kredit-", "Institute"], ["Geld- und Kredit-Institute"]),
        # A hyphen for the end that two words have in common.
        (["mit Ein-", "und Ausgang"], ["mit Ein-", "und Ausgang"]),
        (["of pre-", "and post-war"], ["of pre-", "and post-war"]),
        (["a brig-", "and saw the brigand"], ["a brigand", "saw the brigand"]),
        # No divided word.
        (["a dash -", "stays"], ["a dash -", "stays"]),
        (["ends in --", "two"], ["ends in --", "two"]),
        (["a list:-", "- item"], ["a list:-", "- item"]),
        (["alone-"], ["alone-"]),
        ([], []),
    ],
)
def test_divided_words(lines: list[str], expected: list[str]) -> None:
    assert join(lines, words_of(lines)) == expected


def test_the_page_itself_shows_how_a_word_is_written() -> None:
    divided = ["it came to-", "morrow"]
    assert join(divided, words_of(divided)) == ["it came tomorrow"]
    assert join(divided, words_of([*divided, "said To-morrow, he"])) == ["it came to-morrow"]
    compound = ["a self-", "ish man"]
    assert join(compound, words_of([*compound, "so selfish"])) == ["a selfish", "man"]


@given(st.lists(st.text(st.sampled_from("ab1A- .\u00ad"), max_size=8), max_size=6))
def test_nothing_but_hyphens_and_line_ends_ever_goes(lines: list[str]) -> None:
    def kept(texts: list[str]) -> str:
        return "".join(character for character in "".join(texts) if character not in f" {HYPHENS}{DIVIDERS}")

    assert kept(join(lines, words_of(lines))) == kept(lines)
