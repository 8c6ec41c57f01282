"""Files that users store and have read later, in another request: those of the front door for Mistral's clients.

A file is two objects under `files/{user_hash}/{file_id}/`: its content, and once that is whole, what is known of it. It
is no job, and reading it makes one, with a copy of the content: the file can be deleted while it is read. The sweep
deletes a file that is older than `KEPT`.
"""

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec

from libs.codec import Codec, TornObject
from libs.storage import layout
from libs.storage.errors import NotFound, PreconditionFailed
from libs.storage.store import ObjectStore
from services.web.auth import User

#: How long a file is kept. Chosen: as long as the addresses of files at Mistral are valid at most (168 hours).
KEPT = timedelta(days=7)

_ABOUT, _CONTENT = "about.json", "content"


class UserFile(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a file."""

    #: Has the form of a session's id: 32 hex digits, which begin with the time.
    file_id: str
    user_email: str
    #: As its owner named it, if it did.
    filename: str | None
    #: By its content, such as `application/pdf`.
    media_type: str
    size: int
    created_at: datetime

    @property
    def path(self) -> str:
        """Where its content is stored."""
        return _path(layout.user_hash(self.user_email), self.file_id, _CONTENT)


class TornFile(TornObject):
    """What is stored of a file cannot be decoded."""


_codec = Codec(UserFile, TornFile)


class UserFiles:
    """The files of all users."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def save(
        self, user: User, content: AsyncIterator[bytes], *, filename: str | None, media_type: str
    ) -> UserFile:
        """Store a file. Raises what `content` raises, and `StorageError`: then nothing of it stays."""
        file_id = layout.new_session_id()
        path = _path(user.user_hash, file_id, _CONTENT)
        try:
            await self._store.write(path, content)
            file = UserFile(
                file_id=file_id,
                user_email=user.email,
                filename=filename,
                media_type=media_type,
                size=(await self._store.stat(path)).size,
                created_at=await self._store.now(),
            )
            await self._store.write(_path(user.user_hash, file_id, _ABOUT), _codec.encode(file))
        except BaseException:
            # Both: a write that is cut off may have been done, and a file without content would be found.
            await self._delete(user.user_hash, file_id)
            raise
        return file

    async def find(self, user: User, file_id: str) -> UserFile | None:
        """The user's file of this id; `None` where there is none. Raises `TornFile`, `StorageError`."""
        if not layout.is_session_id(file_id):
            return None
        try:
            stored = await self._store.read(_path(user.user_hash, file_id, _ABOUT))
        except NotFound:
            return None
        file = _codec.decode(stored.data)
        if layout.normal_email(file.user_email) != user.email:
            return None  # of a user whose address has the same hash
        return None if file.created_at + KEPT < await self._store.now() else file

    async def ids(self, user: User) -> list[str]:
        """The ids in the user's folder, newest first."""
        folder = layout.files_prefix(user.user_hash)
        names = [name async for name in self._store.children(folder)]
        return sorted(filter(layout.is_session_id, names), reverse=True)

    async def delete(self, file: UserFile) -> None:
        """Delete the file: at once no request finds it."""
        await self._delete(layout.user_hash(file.user_email), file.file_id)

    async def _delete(self, user_hash: str, file_id: str) -> None:
        for name in (_ABOUT, _CONTENT):
            with suppress(NotFound):
                await self._store.delete(_path(user_hash, file_id, name))


async def delete_old_files(store: ObjectStore) -> None:
    """For the sweep: delete what is older than `KEPT`. Raises `StorageError`."""
    now = await store.now()
    async for stat in store.list(layout.FILES):
        if stat.updated_at + KEPT < now:
            with suppress(NotFound, PreconditionFailed):
                await store.delete(stat.path, if_generation=stat.generation)


def _path(user_hash: str, file_id: str, name: str) -> str:
    return f"{layout.files_prefix(user_hash)}{file_id}/{name}"
