"""The fields of a form, whose values are texts."""

from services.serving.problem import Problem
from services.web.frontdoors.reading import Fields

_TRUE = frozenset({"true", "1", "yes", "on"})


def last(fields: Fields, name: str, default: str = "") -> str:
    """The value of a field, of several the last; the default where it is missing or empty."""
    return fields.get(name, (default,))[-1].strip() or default


def is_true(fields: Fields, name: str, default: str = "") -> bool:
    """Whether a field says yes."""
    return last(fields, name, default).lower() in _TRUE


def number(fields: Fields, name: str, default: int, *, least: int) -> int:
    """The whole number in a field. Raises `Problem` 422."""
    text = last(fields, name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 9 and int(text) >= least):
        raise bad_field(name, f"is a number from {least}")
    return int(text)


def bad_field(name: str, rule: str) -> Problem:
    """422 for a field that breaks this rule."""
    return Problem(422, "Bad field", f"{name} {rule}.", f"Correct the field {name}, or leave it out.")
