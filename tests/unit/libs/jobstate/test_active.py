"""The index of active jobs."""

import msgspec

from libs.jobstate import active
from libs.jobstate.active import announce
from libs.jobstate.evidence import read_outcome, save_outcome
from libs.storage import layout
from libs.storage.errors import NotFound
from libs.storage.session import SessionFiles
from tests.jobs import START, extracted, outcome, read


async def is_active(files: SessionFiles) -> bool:
    try:
        await files.store.stat(layout.active_path(files.user_hash, files.session_id))
    except NotFound:
        return False
    return True


async def test_ended_job_leaves_the_index(files: SessionFiles) -> None:
    await announce(files, run=1)
    await active.remove(files, extracted(1))
    assert not await is_active(files)


async def test_end_of_one_run_does_not_take_away_the_next_which_is_announced(files: SessionFiles) -> None:
    await announce(files, run=2)
    await active.remove(files, extracted(1))
    assert await is_active(files)
    await active.remove(files, msgspec.structs.replace(extracted(1), run=2))
    assert not await is_active(files)


async def test_outcome_of_a_new_run_replaces_what_a_late_writer_of_the_old_run_left(files: SessionFiles) -> None:
    await save_outcome(files, outcome(1, "old", run=1), 0)
    await save_outcome(files, outcome(1, "new", run=2), 0)
    stored = await read_outcome(files, 1)
    assert stored is not None
    assert (stored.run, stored.text) == (2, "new")
    late = await save_outcome(files, outcome(1, "late", run=1), 0)
    assert late.text == "new"


async def test_extraction_is_not_over_while_a_page_has_neither_image_nor_outcome(files: SessionFiles) -> None:
    job = extracted(2)
    open_again = msgspec.structs.replace(
        job, extraction_complete=False, pages=job.pages | {2: msgspec.structs.replace(job.pages[2], image=None)}
    )
    assert not open_again.extracted(START).extraction_complete
    assert open_again.settled({2: read()}, START).extracted(START).extraction_complete
