"""Names and paths in the storage tree. Pure."""

import hashlib
import re
import secrets
import time
import unicodedata
from datetime import UTC, datetime

from libs.storage.errors import Forbidden

#: The owner of what is uploaded without an e-mail address (R11).
ANONYMOUS = "anonymous@gnosis-ocr.local"

#: What was asked for: `libs.jobstate.intake`.
INTAKE = "intake.json"
#: The job's record: `libs.jobstate.job`.
RECORD = "processing.json"
#: The combined result.
COMBINED = "combined_output.md"
#: The searchable PDF, made when it is first asked for.
SEARCHABLE = "combined_output.pdf"
#: Why it could not be made.
SEARCHABLE_FAULT = "combined_output.fault"
#: An upload in several requests.
UPLOAD = "upload.json"
#: The note that a run was cancelled: `libs.jobstate.cancellation`.
CANCELLED = "cancelled.json"

# Names with a number or a name in them, for `str.format`.
#: The image of a page: that of page 1 is `page_001.png`, that of page 1000 `page_1000.png`.
PAGE_IMAGE = "page_{:03d}.png"
#: Its image at another resolution than the job's, in dots per inch, where a retry asked for it.
PAGE_IMAGE_AT = "page_{:03d}_{}dpi.png"
#: The Markdown of a page.
PAGE_RESULT = "page_{:03d}_result.txt"
#: The outcome of a page with its provenance: the evidence.
PAGE_OUTCOME = "page_{:03d}_result.json"
#: The outcome of a page in an earlier run, once a later run has read the page again.
PAGE_READING = "page_{:03d}_run_{}.json"
#: A lease: `batches/0001.json` for a batch, `extract` and `combine` for those stages.
LEASE = "batches/{}.json"
#: The notice of a run's end: `libs.jobstate.notice`.
NOTICE = "webhooks/{:04d}.json"
#: The part of a resumable upload that begins at a byte offset; names sort as their offsets do.
PART = "parts/{:016d}"

#: The index of active jobs: `libs.jobstate.active`.
ACTIVE = "active/"
#: In a session: the password of its document, for as long as that may still be opened: `libs.jobstate.password`. In a
#: folder, which no address of a stored file reaches.
PASSWORD = "private/password"  # noqa: S105  # a name
#: Files that are kept until they are read: `services.web.userfiles`.
FILES = "files/"
#: What idempotency keys stand for: `services.web.idempotency`.
IDEMPOTENCY = "idempotency/"
#: Ends of runs that webhooks have still to tell: `libs.jobstate.notice`.
UNDELIVERED = "webhooks/"
#: In a session: its leases.
BATCHES = "batches/"
#: In a session: the notices of its runs' ends.
NOTICES = "webhooks/"
#: In a session: the parts of a resumable upload.
PARTS = "parts/"
#: Files of the service itself.
SYSTEM = "system/"
#: Deleted sessions: `libs.jobstate.deletion`.
TOMBSTONES = "tombstones/"
#: The sessions, by user.
USERS = "users/"
#: What the worker reports of itself.
WORKER_STATE = f"{SYSTEM}worker.json"

#: What Cloud Storage allows for an object's name (https://cloud.google.com/storage/docs/objects#naming).
MAX_PATH_BYTES = 1024
#: What common file systems allow for one name.
MAX_SEGMENT_BYTES = 255
#: Chosen: leaves room for a prefix within `MAX_SEGMENT_BYTES`.
MAX_UPLOAD_NAME_BYTES = 200

#: The local store keeps its own files beside the objects, under these names.
INTERNAL_PREFIXES = (".tmp", ".locks")

_USER_HASH = re.compile(r"[0-9a-f]{12}")
_SESSION_ID = re.compile(r"[0-9a-f]{32}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# Bidirectional marks can make "exe.pdf" read as "fdp.exe"; joiners are kept, since emoji and Persian need them.
_UNWANTED = re.compile("[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_RESERVED_CHARACTERS = re.compile(r'[<>:"|?*]')
_EDGES = re.compile(r"^[\s.]+|[\s.]+$")
_EXTENSION = re.compile(r"\.[^.\s]+$")
_MAX_EXTENSION_BYTES = 20
# Digits and suffixes are bounded, so that a name with `upload_` in front is within MAX_UPLOAD_NAME_BYTES.
_READING = re.compile(r"page_[0-9]{3,9}_run_[0-9]{1,9}\.json")
_OUR_NAMES = re.compile(
    r"page_[0-9]{1,9}((_[0-9]{1,9}dpi)?\.png|_result\.(txt|json)|_run_[0-9]{1,9}\.json)"
    r"|combined_output\.[a-z0-9]{1,9}"
    r"|(intake|processing|status|metadata|upload|cancelled)\.json"
    r"|batches|parts|private|webhooks|active|tombstones|system|users"
)


def normal_email(email: str | None) -> str:
    """The address by which users are compared: trimmed, in lower case; the anonymous user's where it is empty (R11)."""
    return (email or "").strip().lower() or ANONYMOUS


def user_hash(email: str | None) -> str:
    """The partition of a user: 12 hex digits. No e-mail, or a blank one, is the anonymous user."""
    return hashlib.sha256(normal_email(email).encode()).hexdigest()[:12]


def is_user_hash(text: str) -> bool:
    """Whether `text` has the form of a `user_hash`."""
    return _USER_HASH.fullmatch(text) is not None


class SessionClock:
    """Milliseconds of the clock of the process; they neither stand still nor go back."""

    def __init__(self) -> None:
        self._newest = -1

    def __call__(self) -> int:
        """Since 1970, later than all before."""
        self._newest = max(time.time_ns() // 1_000_000, self._newest + 1)
        return self._newest


session_clock = SessionClock()


def new_session_id() -> str:
    """32 hex digits: 48 bits of milliseconds, so that ids of a process sort by creation, then 80 random bits."""
    return f"{session_clock() & (1 << 48) - 1:012x}{secrets.token_hex(10)}"


def created_at(session_id: str) -> datetime:
    """When the session was made, by the clock of the process that made it."""
    return datetime.fromtimestamp(int(session_id[:12], 16) / 1000, UTC)


def is_session_id(text: str) -> bool:
    """Whether `text` has the form of a session id."""
    return _SESSION_ID.fullmatch(text) is not None


def user_prefix(user_hash: str) -> str:
    """The folder that holds a user's sessions."""
    return f"{USERS}{user_hash}/"


def session_prefix(user_hash: str, session_id: str) -> str:
    """The folder that holds every file of a session."""
    return f"{USERS}{user_hash}/{session_id}/"


def active_path(user_hash: str, session_id: str) -> str:
    """Exists from before the upload until the job has ended; the sweep looks here."""
    return f"{ACTIVE}{user_hash}/{session_id}"


def undelivered_path(user_hash: str, session_id: str, run: int) -> str:
    """Exists while webhooks have still to tell the end of this run; the sweep looks here too."""
    return f"{UNDELIVERED}{user_hash}/{session_id}.{run}"


def tombstone_path(user_hash: str, session_id: str) -> str:
    """Exists while a deleted session may still receive late writes."""
    return f"{TOMBSTONES}{user_hash}/{session_id}"


def files_prefix(user_hash: str) -> str:
    """The folder that holds a user's files that are no job's."""
    return f"{FILES}{user_hash}/"


def idempotency_path(email: str, key: str) -> str:
    """What a user's idempotency key stands for.

    By a digest: users whose addresses have the same hash share no key, and a key has characters that no path may have.
    """
    digest = hashlib.sha256(f"{normal_email(email)}\0{key}".encode()).hexdigest()
    return f"{IDEMPOTENCY}{user_hash(email)}/{digest}"


def page_image(page_no: int, dpi: int | None = None) -> str:
    """The name of the image of a page at `dpi`; `None` is the job's own resolution."""
    return PAGE_IMAGE.format(page_no) if dpi is None else PAGE_IMAGE_AT.format(page_no, dpi)


def is_earlier_reading(name: str) -> bool:
    """Whether `name` is that of a page's reading which a later one has replaced."""
    return _READING.fullmatch(name) is not None


def system_path(name: str) -> str:
    """A file of the service itself, of no user."""
    return f"{SYSTEM}{name}"


def reserve_share(path: str) -> float:
    """The share of a disk's reserve that must stay free when the object at `path` is written.

    All of it for the bytes of uploads, and for searchable PDFs, which are as large. Half of it for page images, which
    only jobs at work write. None for records, leases, outcomes, texts and tombstones: they always find room, and so
    does a deletion.
    """
    if path.startswith(FILES):
        return 0.0 if path.endswith(".json") else 1.0
    if not path.startswith(USERS) or path.count("/") < 3:
        return 0.0
    name = path.split("/", 3)[3]
    if name.startswith((BATCHES, NOTICES)):
        return 0.0
    if name == SEARCHABLE:
        return 1.0
    if _OUR_NAMES.fullmatch(name):
        return 0.5 if name.endswith(".png") else 0.0
    return 1.0


def upload_name(original: str | None) -> str:
    """The name under which an upload is stored: readable, safe on every backend, and none that the service uses.

    Folders, control characters and leading dots go, reserved characters become `_`, the extension is kept,
    and the result has at most 200 bytes of UTF-8. Applying it twice changes nothing.
    """
    text = _UNWANTED.sub("", (original or "").replace("\\", "/")).rstrip("/")
    text = unicodedata.normalize("NFC", text.rpartition("/")[2])
    text = _EDGES.sub("", _RESERVED_CHARACTERS.sub("_", text))
    text = _shortened(text) or "upload"
    # casefold and not lower: a file system that ignores case takes a long s for an s, too.
    return f"upload_{text}" if _OUR_NAMES.fullmatch(text.casefold()) else text


def _shortened(name: str) -> str:
    if len(name.encode()) <= MAX_UPLOAD_NAME_BYTES:
        return name
    match = _EXTENSION.search(name)
    extension = match.group() if match and len(match.group().encode()) <= _MAX_EXTENSION_BYTES else ""
    stem = name.removesuffix(extension).encode()[: MAX_UPLOAD_NAME_BYTES - len(extension.encode())]
    return _EDGES.sub("", stem.decode(errors="ignore")) + extension


def check_path(path: str) -> None:
    """Raise `Forbidden` unless `path` names an object inside the tree.

    This is the only place where traversal is refused; every backend calls it first in every operation.
    """
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        raise Forbidden(ascii(path), "not valid Unicode") from None
    if size > MAX_PATH_BYTES:
        raise Forbidden(path, f"longer than {MAX_PATH_BYTES} bytes")
    if "\\" in path or _CONTROL.search(path):
        raise Forbidden(ascii(path), "a backslash or a control character in a path")
    for segment in path.split("/"):
        if segment in ("", ".", ".."):
            raise Forbidden(path, "an empty, '.' or '..' segment in a path")
        if segment.startswith(INTERNAL_PREFIXES):
            raise Forbidden(path, f"{segment!r} is the storage's own")
        if len(segment.encode()) > MAX_SEGMENT_BYTES:
            raise Forbidden(path, f"a segment longer than {MAX_SEGMENT_BYTES} bytes")


def check_prefix(prefix: str) -> None:
    """Raise `Forbidden` unless `prefix` can begin the path of an object; empty and `folder/` can."""
    if prefix:
        check_path(prefix.removesuffix("/"))


def check_folder(prefix: str) -> None:
    """Raise `Forbidden` unless `prefix` is a folder: empty, for the whole tree, or ending in `/`."""
    check_prefix(prefix)
    if prefix and not prefix.endswith("/"):
        raise Forbidden(prefix, "a folder ends in '/'")
