"""`Idempotency-Key` of `POST /upload`: the same key and document from the same user make one job, whatever dies.

After draft-ietf-httpapi-idempotency-key-header. A key is an object outside of all sessions, which names the session of
its job and the fingerprint of what was uploaded. It is written once the document is stored whole and before the job is
made, by generation: of two processes that receive the same upload one writes it, and the other gives its own copy up.
A request that finds the object goes on with the job that it names, and makes that job where a crash has left the upload
without one. So nothing has to expire after a crash: until the object is written, nothing was promised.
"""

import hmac
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta

import msgspec
from starlette.datastructures import Headers

from libs.codec import Codec, TornObject
from libs.storage import layout
from libs.storage.errors import NotFound, PreconditionFailed
from libs.storage.pace import write_paced
from libs.storage.session import SessionFiles, exists
from libs.storage.store import ObjectStore
from services.serving.authorization import check_single
from services.serving.problem import Problem

HEADER = "Idempotency-Key"
#: How long a key stands for its job (`api.md` promises a day).
KEPT = timedelta(hours=24)

# Visible characters: a UUID, mostly. Chosen: more than any client needs.
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class KeyedUpload(msgspec.Struct, frozen=True, kw_only=True):
    """What a key stands for, as stored."""

    session_id: str
    #: Of the document and the options: `fingerprint`.
    fingerprint: str
    #: The name under which the document is stored.
    raw_file: str


class TornKey(TornObject):
    """The stored object cannot be decoded: the key counts as unused."""


_codec = Codec(KeyedUpload, TornKey)


class KeyUsed(Exception):
    """Another process has received an upload with this key meanwhile."""

    def __init__(self, files: SessionFiles, upload: KeyedUpload) -> None:
        super().__init__()
        #: Of the other upload.
        self.files = files
        self.upload = upload


class IdempotencyKey:
    """A user's key in one request."""

    def __init__(self, store: ObjectStore, email: str, text: str) -> None:
        self._store = store
        self._user_hash = layout.user_hash(email)
        self._text = text
        self._path = layout.idempotency_path(email, text)
        self._generation = 0

    async def earlier(self) -> tuple[SessionFiles, KeyedUpload] | None:
        """The earlier upload with this key, whose job exists or can be made; `None` while the key is free.

        It is free again a day later, and once the job was deleted.
        """
        try:
            stored = await self._store.read(self._path)
        except NotFound:
            self._generation = 0
            return None
        self._generation = stored.generation
        if stored.updated_at + KEPT < await self._store.now():
            return None
        try:
            upload = _codec.decode(stored.data)
        except TornKey:
            return None
        files = SessionFiles(store=self._store, user_hash=self._user_hash, session_id=upload.session_id)
        if await files.is_deleted():
            return None
        for path in (files.intake_path, files.path(upload.raw_file)):
            if await exists(self._store, path):
                return files, upload
        return None  # the sweep has removed an upload that never became a job

    async def use(self, upload: KeyedUpload) -> None:
        """Let the key stand for this upload, which is stored whole. Raises `KeyUsed`, `StorageError`."""
        try:
            await write_paced(self._store, self._path, _codec.encode(upload), if_generation=self._generation)
        except PreconditionFailed:
            found = await self.earlier()
            if found is None:  # it was deleted at this moment: the next try finds the key free
                raise _in_use() from None
            if found[1] != upload:  # else it is our own write, whose answer was lost
                raise KeyUsed(*found) from None

    def fingerprint(self, digest: bytes, filename: str | None, fields: Mapping[str, str]) -> str:
        """Of a document with this SHA-256, its name and its options. Keyed: what is stored tells nothing about it.

        Without the password: a key may be easy to guess, and then the fingerprint would allow to try passwords.
        """
        options = {**fields, "password": "given"} if fields.get("password") else fields
        content = json.dumps([digest.hex(), filename, sorted(options.items())]).encode()
        return hmac.digest(self._text.encode(), content, "sha256").hex()


class IdempotencyKeys:
    """The keys of all users."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._received: set[tuple[str, str]] = set()

    @contextmanager
    def received(self, email: str, text: str) -> Iterator[IdempotencyKey]:
        """A request with this key of the user's is received in the block.

        Raises `Problem` 409 while this process receives another one. One that another process receives shows at `use`.
        """
        if (email, text) in self._received:
            raise _in_use()
        self._received.add((email, text))
        try:
            yield IdempotencyKey(self._store, email, text)
        finally:
            self._received.discard((email, text))


def key_of(headers: Headers) -> str | None:
    """The key in the request, with quotes (RFC 8941) or without. Raises `Problem` 400."""
    check_single(headers, HEADER)
    if (text := headers.get(HEADER)) is None:
        return None
    text = text.strip()
    key = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    if not _KEY.fullmatch(key):
        raise Problem(
            400,
            "Bad key",
            f"{HEADER} is not 1 to 255 visible characters.",
            "Send a random UUID, the same one each time the same upload is tried again.",
        )
    return key


def check_same(earlier: KeyedUpload, fingerprint: str) -> None:
    """Raise `Problem` 422 where the earlier upload was another."""
    if not hmac.compare_digest(earlier.fingerprint, fingerprint):
        raise Problem(
            422,
            "Key used",
            "Another file, or other options, were sent with this Idempotency-Key before.",
            "Use a new key for each upload, and the old one only to try the same upload again.",
        )


def _in_use() -> Problem:
    return Problem(
        409,
        "Key in use",
        f"Another request with this {HEADER} is being received.",
        "Send the request again when Retry-After says: it is then answered with that request's job.",
        headers={"Retry-After": "5"},
    )


async def forget_old_keys(store: ObjectStore) -> None:
    """For the sweep: delete the keys that no longer stand for a job. Raises `StorageError`."""
    now = await store.now()
    async for stat in store.list(layout.IDEMPOTENCY):
        if stat.updated_at + KEPT < now:
            with suppress(NotFound, PreconditionFailed):  # used again at this moment
                await store.delete(stat.path, if_generation=stat.generation)
