"""`upload.json`: an upload whose bytes come in later requests, as its client announced it."""

from datetime import datetime

import msgspec

from libs.codec import Codec, TornObject
from libs.jobstate.intake import Options
from libs.storage import layout


class PendingUpload(msgspec.Struct, frozen=True, kw_only=True):
    """What the client announced. Stored before the first byte, and kept when the upload has become a job."""

    user_email: str
    #: The file's name as the client gave it, if it gave one.
    filename: str | None
    #: Bytes of the whole file; `None` until the client gives it.
    length: int | None
    #: The client's `Upload-Metadata` header (tus), which `HEAD` returns; empty for direct uploads.
    metadata: str
    options: Options
    #: The upload must be complete by then; afterwards the sweep deletes it.
    expires_at: datetime
    #: The bucket's address for the bytes of a direct upload: a secret, emptied when no longer needed. `None` for tus.
    session: str | None = None

    @property
    def raw_file(self) -> str:
        """The name under which the whole file is stored."""
        return layout.upload_name(self.filename)


class TornUpload(TornObject):
    """The stored upload cannot be decoded."""


_codec = Codec(PendingUpload, TornUpload)
encode, decode = _codec.encode, _codec.decode
