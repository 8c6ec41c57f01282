"""What a model writes around its answer, and no page shows."""

import re

# Special tokens as tokenizers spell them: <|im_end|>, <|endoftext|>, <|vision_start|>; DeepSeek's end of a sentence has
# characters of its own for the bars and the spaces.
_SPECIAL = re.compile(r"<\|[a-z0-9_]{1,40}\|>|<\uff5c[a-z\u2581]{1,40}\uff5c>")
# Surrogates cannot be stored as UTF-8; U+FFFD replaces the bytes of a character that a token split.
_BROKEN = re.compile("[\ud800-\udfff\ufffd]")
_OPENING = re.compile(r"```([a-z]{1,10})[ \t]*(?:\n|\Z)", re.IGNORECASE)
_FENCE = "```"


def clean(text: str, *, languages: tuple[str, ...] = ("markdown", "md")) -> str:
    """The text without special tokens, broken characters, outer space, and a fence around all of it.

    `languages` are those of such a fence; any other is a listing on the page.
    """
    text = _BROKEN.sub("", _SPECIAL.sub("", text)).strip()
    opening = _OPENING.match(text)
    if opening is None or opening[1].lower() not in languages:
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
