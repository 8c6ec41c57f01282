"""Characters that the recognition model mistakes for others, where the text around them shows it.

A character is replaced only where the model itself holds the other one for possible.
"""

import re
from collections.abc import Callable

# An "S" that stands before an amount is a dollar sign; a "1" that joins the day and the month of a date to a number of
# three digits is a stroke. Numbers such as "717/2017" exist: they are left, as the model is sure of them.
_MISTAKES = (
    (re.compile(r"(?<![^\W_])[Ss](?=(?:\d{1,3}(?:,\d{3})+(?:\.\d\d)?|\d+\.\d\d)(?![\w.]))"), "$"),
    (re.compile(r"(?<=(?<!\d)\d)1(?=\d/(?:19|20)\d\d(?!\d))"), "/"),
)
# Probability that the model gives the other character at least. Measured on small print of five sizes in four fonts:
# 0.02 to 0.4 for the sign and 0.04 for the stroke where they were printed.
_MIN_LIKELIHOOD = 0.02


def mended(text: str, likelihood: Callable[[int, str], float]) -> str:
    """The text of a line; `likelihood` is the model's probability (0 to 1) of a character at this index of the text."""
    for pattern, character in _MISTAKES:
        for match in pattern.finditer(text):
            at = match.start()
            if likelihood(at, character) >= _MIN_LIKELIHOOD:
                text = text[:at] + character + text[at + 1 :]
    return text
