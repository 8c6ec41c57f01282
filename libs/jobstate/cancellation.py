"""That a run was cancelled, told beside the record: one that is made anew would not know it."""

from contextlib import suppress

import msgspec

from libs.codec import Codec, TornObject
from libs.storage.errors import NotFound
from libs.storage.pace import write_paced
from libs.storage.session import SessionFiles


class Cancellation(msgspec.Struct, frozen=True, kw_only=True):
    """`cancelled.json`: the last run that was cancelled. A later run is not."""

    run: int


_codec = Codec(Cancellation, TornObject)


async def note(files: SessionFiles, run: int) -> None:
    """The run was cancelled, and its record says so already."""
    await write_paced(files.store, files.cancellation_path, _codec.encode(Cancellation(run=run)))


async def forget(files: SessionFiles) -> None:
    """A new run has begun."""
    with suppress(NotFound):
        await files.store.delete(files.cancellation_path)


async def cancelled_run(files: SessionFiles) -> int:
    """The run that was cancelled, or 0. What is torn is as good as none: the job then goes on."""
    with suppress(NotFound, TornObject):
        return _codec.decode((await files.store.read(files.cancellation_path)).data).run
    return 0
