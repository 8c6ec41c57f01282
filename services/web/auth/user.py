"""A user: an e-mail address, and the hash of it that names their folder."""

import re

import msgspec

from libs.storage import layout

_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,190}")


class User(msgspec.Struct, frozen=True, kw_only=True):
    """The user behind a request."""

    #: In lower case, without blanks around it.
    email: str
    #: Names the folder that holds everything of this user's.
    user_hash: str


def user_of(email: str) -> User:
    """The user with this address, in any case of letters. Raises `ValueError` when it is not an e-mail address."""
    normal = email.strip().lower()
    if not _EMAIL.fullmatch(normal):
        raise ValueError("not an e-mail address")
    return User(email=normal, user_hash=layout.user_hash(normal))
