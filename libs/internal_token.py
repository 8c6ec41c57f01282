"""The secret by which the services of one installation authenticate each other."""

import secrets

from libs.storage import layout
from libs.storage.errors import NotFound, PreconditionFailed
from libs.storage.pace import write_paced
from libs.storage.store import ObjectStore

#: The request header that carries the token.
HEADER = "X-Internal-Token"


async def internal_token(store: ObjectStore, configured: str) -> str:
    """The configured token; without one, the token in storage, which the service that starts first makes."""
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
