"""The secret by which the services of one installation know each other."""

import secrets

from libs.storage import layout
from libs.storage.errors import NotFound, PreconditionFailed
from libs.storage.pace import write_paced
from libs.storage.store import ObjectStore

HEADER = "X-Internal-Token"


async def internal_token(store: ObjectStore, configured: str) -> str:
    """The configured token, else the one that whichever service started first left in storage."""
    if configured:
        return configured
    path = layout.system_path("internal_token")
    try:
        return (await store.read(path)).data.decode()
    except NotFound:
        token = secrets.token_urlsafe(32)
    try:
        await write_paced(store, path, token.encode(), if_generation=0)
    except PreconditionFailed:
        return (await store.read(path)).data.decode()
    return token


def matches(given: str | None, token: str) -> bool:
    """Compare in constant time. An empty token, of a file that was cut off, admits nobody."""
    return bool(token) and secrets.compare_digest((given or "").encode(), token.encode())
