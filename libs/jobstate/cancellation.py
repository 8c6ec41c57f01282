"""The note that a run was cancelled, stored beside the record: a rebuilt record would not know it."""

from contextlib import suppress

import msgspec

from libs.codec import Codec, TornObject
from libs.storage.errors import NotFound
from libs.storage.pace import write_paced
from libs.storage.session import SessionFiles


class Cancellation(msgspec.Struct, frozen=True, kw_only=True):
    """`cancelled.json`."""

    #: The last run that was cancelled; a later one is not.
    run: int


_codec = Codec(Cancellation, TornObject)


async def note(files: SessionFiles, run: int) -> None:
    """Note that the run was cancelled, after its record was."""
    await write_paced(files.store, files.cancellation_path, _codec.encode(Cancellation(run=run)))


async def forget(files: SessionFiles) -> None:
    """Remove the note, once a new run has begun."""
    with suppress(NotFound):
        await files.store.delete(files.cancellation_path)


async def cancelled_run(files: SessionFiles) -> int:
    """The run that was cancelled, or 0. A torn note counts as none: the job then continues."""
    with suppress(NotFound, TornObject):
        return _codec.decode((await files.store.read(files.cancellation_path)).data).run
    return 0
