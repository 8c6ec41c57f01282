"""A document made to hurt whoever opens it."""

from collections.abc import Callable

import msgspec

Maker = Callable[[], bytes]
Makers = tuple[tuple[Maker, str], ...]
"""What makes the bytes, and a pattern of what opening them may come to: `rendered`, or words of the reason."""

# A machine may reach one limit or another first.
LIMITED = "longer than|more memory|ended the program"


class Bomb(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is a file name; `expected` is as in `Makers`."""

    name: str
    make: Maker
    expected: str
