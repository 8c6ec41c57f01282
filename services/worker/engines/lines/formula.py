"""Signs that tell a formula from text."""

# Chosen: signs that stand in formulas and hardly ever in a heading or in the cell of a table.
_SIGNS = frozenset("=∑∏∫√∂∇∈∉⊂⊆≤≥≡≈→⇒∞")


def has_signs(text: str) -> bool:
    """Whether the text has a sign of a formula."""
    return not _SIGNS.isdisjoint(text)
