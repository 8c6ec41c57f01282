"""A model's answer: unwrapped, judged, and otherwise unchanged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.engines.guard.answer import judge
from services.worker.engines.guard.attempts import Verdict
from services.worker.engines.profiles import plain
from services.worker.engines.profiles.wrapping import clean
from services.worker.engines.transcriber import Ending, Transcript


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("```markdown\n# A\n\nb\n```", "# A\n\nb"),
        ("\n```md\nA\n```\n", "A"),
        ("```Markdown \nA\n````", "A"),
        ("```markdown\nA\n```python\nx\n```\nB\n```", "A\n```python\nx\n```\nB"),
        ("```markdown\nnever closed", "never closed"),
        ("```markdown\n```", ""),
        ("```markdown", ""),
        ("A<|im_end|>", "A"),
        ("```markdown\nA\n```<|im_end|><|endoftext|>", "A"),
        ("caf\ufffd", "caf"),
        ("half \ud83d a face", "half  a face"),
        ("  \n ", ""),
    ],
)
def test_wrappings_come_off(written: str, text: str) -> None:
    assert clean(written) == text


@pytest.mark.parametrize(
    "text",
    [
        "```markdown\nA\n```\nand more",
        "```markdown\nA\n```\nB\n```python\nx\n```",
        "```python\nx\n```",
        "```\nA\n```",
        "A\n```markdown\nB\n```",
        "a <|b c|> d",
        "<table><tr><td></td></tr></table>",
        "$$x \\over y$$",
    ],
)
def test_everything_else_stays_as_it_is(text: str) -> None:
    assert clean(text) == text


@given(text=st.text())
def test_what_is_clean_is_clean_and_can_be_stored(text: str) -> None:
    once = clean(text)
    once.encode()
    assert clean("```markdown\n" + once.replace("`", "") + "\n```") == clean(once.replace("`", ""))


def judged(text: str, ending: Ending) -> Verdict:
    return judge(Transcript(text=text, ending=ending, tokens=1), plain.PROFILE, 800, 1000)[1]


def test_only_an_answer_that_ended_by_itself_counts() -> None:
    assert judged("text", Ending.STOP) is Verdict.STOP
    assert judged("text", Ending.LENGTH) is Verdict.LENGTH
    assert judged("text", Ending.LOOP) is Verdict.LOOP


def test_a_loop_is_found_whatever_the_ending() -> None:
    assert judged("A page. " + "and on " * 200, Ending.STOP) is Verdict.LOOP
    assert judged("and on " * 200 + "The end.", Ending.STOP) is Verdict.LOOP
    assert judged("and on " * 200, Ending.LENGTH) is Verdict.LOOP


def test_wrappings_alone_are_no_text() -> None:
    assert judged("```markdown\n\n```<|im_end|>", Ending.STOP) is Verdict.EMPTY
    assert judged("", Ending.STOP) is Verdict.EMPTY
