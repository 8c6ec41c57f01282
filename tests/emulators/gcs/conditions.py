"""Preconditions of a request: `ifGenerationMatch` and its three relatives."""

from collections.abc import Mapping

import msgspec

from tests.emulators.gcs.refusal import Refusal, condition_not_met, not_modified

_NAMES = {
    "generation_match": "ifGenerationMatch",
    "generation_not_match": "ifGenerationNotMatch",
    "metageneration_match": "ifMetagenerationMatch",
    "metageneration_not_match": "ifMetagenerationNotMatch",
}


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """What must hold of the object as it stands; generation 0 stands for no object."""

    generation_match: int | None = None
    generation_not_match: int | None = None
    metageneration_match: int | None = None
    metageneration_not_match: int | None = None

    def check(self, generation: int, metageneration: int, *, reading: bool = False) -> None:
        """Raise `Refusal`: 412, or 304 where a reader has this version already."""
        if self.generation_match not in (None, generation) or self.metageneration_match not in (None, metageneration):
            raise condition_not_met()
        if self.generation_not_match == generation or self.metageneration_not_match == metageneration:
            raise not_modified() if reading else condition_not_met()


def conditions(query: Mapping[str, str], prefix: str = "") -> Conditions:
    """From a query; with `prefix` "source" those on the source of a copy. Raises `Refusal` 400."""
    found = {}
    for field, name in _NAMES.items():
        key = f"if{prefix}{name[2:]}" if prefix else name
        if key in query:
            found[field] = whole_number(query[key], key)
    return Conditions(**found)


def whole_number(text: str, name: str) -> int:
    """Raises `Refusal` 400."""
    if not text.isascii() or not text.isdigit():
        raise Refusal(400, "invalid", f"Invalid value for {name}: {text}", locationType="parameter", location=name)
    return int(text)
