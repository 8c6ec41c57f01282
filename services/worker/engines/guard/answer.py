"""A model's answer: its wrapping removed, and the verdict on it."""

import re

from services.worker.engines.guard.attempts import Verdict
from services.worker.engines.guard.repetition import has_loop
from services.worker.engines.transcriber import Ending, Transcript

# Special tokens as tokenizers spell them: <|im_end|>, <|endoftext|>, <|vision_start|>.
_SPECIAL = re.compile(r"<\|[a-z0-9_]{1,40}\|>")
# Surrogates cannot be stored as UTF-8; U+FFFD replaces the bytes of a character that a token split.
_BROKEN = re.compile("[\ud800-\udfff\ufffd]")
_OPENING = re.compile(r"```(?:markdown|md)[ \t]*(?:\n|\Z)", re.IGNORECASE)
_FENCE = "```"


def judge(transcript: Transcript) -> tuple[str, Verdict]:
    """The clean text and the verdict. Every text is searched for loops: some models stop by themselves after one."""
    text = clean(transcript.text)
    if transcript.ending is Ending.LOOP or has_loop(text):
        return text, Verdict.LOOP
    if transcript.ending is Ending.LENGTH:
        return text, Verdict.LENGTH
    return text, Verdict.STOP if text else Verdict.EMPTY


def clean(text: str) -> str:
    """The text without special tokens, broken characters, outer space, and a fence that marks all of it as Markdown."""
    text = _BROKEN.sub("", _SPECIAL.sub("", text)).strip()
    opening = _OPENING.match(text)
    if opening is None:
        return text
    lines = text[opening.end() :].split("\n")
    closed = _closes_at(lines)
    if closed is None:  # never closed: kept, it would make the whole page a code block
        return "\n".join(lines).strip()
    return "\n".join(lines[:closed]).strip() if closed == len(lines) - 1 else text


def _closes_at(lines: list[str]) -> int | None:
    """Index of the line that closes a fence opened just before `lines`, past the code fences inside it."""
    inside = False
    for number, line in enumerate(lines):
        if not line.startswith(_FENCE):
            continue
        bare = not line.strip("`").strip()
        if bare and not inside:
            return number
        inside = not bare
    return None
