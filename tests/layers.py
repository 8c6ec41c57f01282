"""Text layers made by code."""

from libs.textlayer import LayerLine, PageLayer, Span, Style

#: Pixels of a line, and of a character's advance in it.
SIZE, ADVANCE = 20.0, 10.0


def layer_of(text: str, *, width: int = 4000, height: int = 4000, style: Style | None = None) -> PageLayer:
    """A layer with these lines of words, from the top left corner on."""
    rows = enumerate(line.split() for line in text.splitlines() if line.split())
    lines = tuple(line_of(words, (0.0, row * 2 * SIZE)) for row, words in rows)
    return PageLayer(width=width, height=height, styles=(style or Style(font=0, size=SIZE),), lines=lines)


def line_of(words: list[str], at: tuple[float, float], *, style: int = 0, size: float = SIZE) -> LayerLine:
    """A line that begins at this corner, its words a space apart."""
    left, top = at
    spans: list[Span] = []
    for word in words:
        right = left + len(word) * size / 2
        spans.append(Span(text=f" {word}" if spans else word, box=(left, top, right, top + size), style=style))
        left = right + size / 2
    return LayerLine(turn=0, spans=tuple(spans))
