"""The files of one session: their paths, how they are saved, and to which user they belong."""

from collections.abc import AsyncIterator
from contextlib import suppress
from functools import cached_property
from urllib.parse import quote

import msgspec

from libs.codec import Codec, TornObject
from libs.storage import layout
from libs.storage.errors import Forbidden, NotFound, PreconditionFailed
from libs.storage.store import ObjectStore


class SessionFiles(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A session in a store, which need not exist yet."""

    store: ObjectStore
    #: The partition of the session's owner: `layout.user_hash`.
    user_hash: str
    session_id: str

    @cached_property
    def prefix(self) -> str:
        """What the path of every file of the session begins with."""
        return layout.session_prefix(self.user_hash, self.session_id)

    @property
    def record_path(self) -> str:
        """The path of the job's record."""
        return self.path(layout.RECORD)

    @property
    def intake_path(self) -> str:
        """The path of the intake, which exists once the upload is complete."""
        return self.path(layout.INTAKE)

    @property
    def upload_path(self) -> str:
        """The path of the upload's description, where it comes in more than one request."""
        return self.path(layout.UPLOAD)

    @property
    def cancellation_path(self) -> str:
        """The path of the note that a run was cancelled."""
        return self.path(layout.CANCELLED)

    @property
    def combined_path(self) -> str:
        """The path of the combined result."""
        return self.path(layout.COMBINED)

    @property
    def searchable_path(self) -> str:
        """The path of the searchable PDF, which exists once it was asked for."""
        return self.path(layout.SEARCHABLE)

    @property
    def searchable_fault_path(self) -> str:
        """The path of the reason why it could not be made."""
        return self.path(layout.SEARCHABLE_FAULT)

    @property
    def password_path(self) -> str:
        """The path of the password of the document, which exists until the document has been read in."""
        return self.path(layout.PASSWORD)

    @property
    def leases_prefix(self) -> str:
        """The folder of the leases."""
        return self.path(layout.BATCHES)

    @property
    def parts_prefix(self) -> str:
        """The folder of the parts of a resumable upload."""
        return self.path(layout.PARTS)

    @cached_property
    def active_path(self) -> str:
        """The path of the session's object in the index of active jobs."""
        return layout.active_path(self.user_hash, self.session_id)

    @cached_property
    def tombstone_path(self) -> str:
        """The path of the tombstone, which exists once the session was deleted."""
        return layout.tombstone_path(self.user_hash, self.session_id)

    def path(self, name: str) -> str:
        """The path of the file `name`: for the uploaded file, and for names that a client asks for."""
        return self.prefix + name

    def page_image_path(self, page_no: int, dpi: int | None = None) -> str:
        """The path of the image of a page at `dpi`; `None` is the job's own resolution."""
        return self.path(layout.page_image(page_no, dpi))

    def page_result_path(self, page_no: int) -> str:
        """The path of the Markdown of a page."""
        return self.path(layout.PAGE_RESULT.format(page_no))

    def page_outcome_path(self, page_no: int) -> str:
        """The path of the outcome of a page."""
        return self.path(layout.PAGE_OUTCOME.format(page_no))

    def page_reading_path(self, page_no: int, run: int) -> str:
        """The path of the outcome of a page in an earlier run, once a later run has read the page again."""
        return self.path(layout.PAGE_READING.format(page_no, run))

    def lease_path(self, name: str) -> str:
        """The path of the lease called `name`."""
        return self.path(layout.LEASE.format(name))

    def notice_path(self, run: int) -> str:
        """The path of the notice of a run's end."""
        return self.path(layout.NOTICE.format(run))

    @property
    def notices_prefix(self) -> str:
        """The folder of the notices."""
        return self.path(layout.NOTICES)

    def undelivered_path(self, run: int) -> str:
        """The path of the run's object in the index of ends that webhooks have still to tell."""
        return layout.undelivered_path(self.user_hash, self.session_id, run)

    def part_path(self, offset: int) -> str:
        """The path of the part of a resumable upload that begins at byte `offset`."""
        return self.path(layout.PART.format(offset))

    async def is_deleted(self) -> bool:
        """Whether the session was deleted: it has a tombstone, even if files are left or are written late."""
        return await exists(self.store, self.tombstone_path)

    def url(self, name: str) -> str:
        """The address of the file `name`: relative, so that it is valid behind any host and proxy."""
        return f"/storage/{self.user_hash}/{self.session_id}/{quote(name)}"

    async def save_page_image(self, page_no: int, png: bytes, dpi: int | None = None) -> int:
        """Save the image of a page at `dpi` unless it exists; the generation of the stored image.

        A repeated extraction thus never replaces an image that a client may be reading.
        """
        path = self.page_image_path(page_no, dpi)
        try:
            return await self.store.write(path, png, if_generation=0)
        except PreconditionFailed:
            return (await self.store.stat(path)).generation

    async def save_combined(self, content: str | AsyncIterator[bytes]) -> int:
        """Save the combined result, whole or as chunks of UTF-8, and return its generation."""
        data = content.encode() if isinstance(content, str) else content
        return await self.store.write(self.combined_path, data)

    async def read_text(self, name: str) -> str:
        """The text of the file `name`. Raises `NotFound`."""
        return (await self.store.read(self.path(name))).data.decode()


async def create_session(store: ObjectStore, email: str | None) -> SessionFiles:
    """A new session of this user, with an id that cannot be guessed.

    Nothing is written: a session begins to exist with its first file.
    """
    return SessionFiles(store=store, user_hash=layout.user_hash(email), session_id=layout.new_session_id())


async def validate_session(
    store: ObjectStore, email: str, session_id: str, *, user_hash: str | None = None
) -> SessionFiles:
    """The session, if it exists and belongs to the user with the address `email` (R11).

    `user_hash` is the owner's hash that a URL names, if it names one. Raises `Forbidden` where that is another than the
    hash of `email`, whether or not there is such a session, and `NotFound` for a malformed, unknown or deleted session
    and for one whose owner has another address with the same hash.
    """
    own_hash = layout.user_hash(email)
    if user_hash is not None and user_hash != own_hash:
        raise Forbidden(f"{user_hash}/{session_id}", "belongs to another user")
    if not layout.is_session_id(session_id):
        raise NotFound(f"{own_hash}/{session_id}", "not a session")
    files = SessionFiles(store=store, user_hash=own_hash, session_id=session_id)
    if await files.is_deleted():
        raise NotFound(f"{own_hash}/{session_id}", "deleted")
    # The record serves where the intake is damaged: both are written from the same address. Where neither can be read
    # the hash has to do: otherwise no one could delete what is left.
    with suppress(TornObject):
        if await _named_owner(files, files.intake_path, files.record_path) != layout.normal_email(email):
            raise NotFound(f"{own_hash}/{session_id}", "no such session")
    return files


async def owner_of(files: SessionFiles) -> str | None:
    """The normalised address of the session's owner; None until its upload or its job is stored."""
    with suppress(TornObject):
        return await _named_owner(files, files.intake_path, files.upload_path, files.record_path)
    return None


class _Owned(msgspec.Struct):
    """What the objects that name an owner have in common."""

    user_email: str


_owned = Codec(_Owned, TornObject)


async def _named_owner(files: SessionFiles, *paths: str) -> str | None:
    """The owner that the first of these objects names which can be read. One request where that is the first.

    None where there is no such object; raises `TornObject` where there is, but none can be read.
    """
    damage: TornObject | None = None
    for path in paths:
        try:
            return layout.normal_email(_owned.decode((await files.store.read(path)).data).user_email)
        except NotFound:
            continue
        except TornObject as error:
            damage = error
    if damage is not None:
        raise damage
    return None


def indexed_session(store: ObjectStore, path: str) -> SessionFiles:
    """The session to which the object at `path` below `active/` or `tombstones/` belongs.

    Raises `ValueError` for a path that `layout.active_path` and `layout.tombstone_path` do not make.
    """
    _, user_hash, session_id = path.split("/")
    return SessionFiles(store=store, user_hash=user_hash, session_id=session_id)


async def exists(store: ObjectStore, path: str) -> bool:
    """Whether there is an object at `path`."""
    try:
        await store.stat(path)
    except NotFound:
        return False
    return True
