"""What a model wrote, made ready to be judged: wrappings off, and nothing else changed."""

import re

from services.worker.engines.guard.attempts import Verdict
from services.worker.engines.guard.repetition import has_loop
from services.worker.engines.transcriber import Ending, Transcript

# As tokenizers spell them: <|im_end|>, <|endoftext|>, <|vision_start|>.
_SPECIAL = re.compile(r"<\|[a-z0-9_]{1,40}\|>")
# Surrogates cannot be stored; the other stands where a token held part of a character only.
_HALF = re.compile("[\ud800-\udfff\ufffd]")
_OPENING = re.compile(r"```(?:markdown|md)[ \t]*(?:\n|\Z)", re.IGNORECASE)
_FENCE = "```"


def judge(transcript: Transcript) -> tuple[str, Verdict]:
    """The text in it, and what it is worth. The ending alone does not tell: some models stop after a loop."""
    text = clean(transcript.text)
    if transcript.ending is Ending.LOOP or has_loop(text):
        return text, Verdict.LOOP
    if transcript.ending is Ending.LENGTH:
        return text, Verdict.LENGTH
    return text, Verdict.STOP if text else Verdict.EMPTY


def clean(text: str) -> str:
    """Without special tokens, halves of characters, space around it, and a fence that calls it all Markdown."""
    text = _HALF.sub("", _SPECIAL.sub("", text)).strip()
    opening = _OPENING.match(text)
    if opening is None:
        return text
    lines = text[opening.end() :].split("\n")
    closed = _closes_at(lines)
    if closed is None:  # left open: without it the page would be one block of code
        return "\n".join(lines).strip()
    return "\n".join(lines[:closed]).strip() if closed == len(lines) - 1 else text


def _closes_at(lines: list[str]) -> int | None:
    """The line that ends a fence opened just before these, past the fences of code within."""
    inside = False
    for number, line in enumerate(lines):
        if not line.startswith(_FENCE):
            continue
        bare = not line.strip("`").strip()
        if bare and not inside:
            return number
        inside = not bare
    return None
