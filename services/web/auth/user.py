"""A user: an address, and the folder that follows from it."""

import re

import msgspec

from libs.storage import layout

_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,190}")


class User(msgspec.Struct, frozen=True, kw_only=True):
    """The asker: the address, and the hash under which everything of theirs lies."""

    email: str
    user_hash: str


def user_of(email: str) -> User:
    """The user of this address, however its letters are written. Raises `ValueError` for what is no address."""
    normal = email.strip().lower()
    if not _EMAIL.fullmatch(normal):
        raise ValueError("not an e-mail address")
    return User(email=normal, user_hash=layout.user_hash(normal))
