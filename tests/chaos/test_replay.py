"""What the reckoning would not notice, nobody would: forged rounds, each with one fault."""

from pathlib import Path

import pytest

from libs.jobstate.commit import create
from libs.jobstate.evidence import save_outcome
from libs.jobstate.outcome import OutcomeStatus, PageOutcome
from libs.storage import layout
from libs.storage.local import LocalStore
from libs.storage.session import SessionFiles
from tests.chaos.folder import Folder
from tests.chaos.history import RememberingStore, versions
from tests.chaos.journal import Journal, What, now
from tests.chaos.replay import Replay
from tests.jobs import extracted
from tests.simulation import script
from tests.simulation.script import Document, PageScript

TOKEN, WORKER = "0a1b2c3d", 7


class Forgery:
    """A job of two pages that is being read, as a round would have left it."""

    def __init__(self, root: Path) -> None:
        self.folder = Folder(root=root)
        for folder in (self.folder.storage, self.folder.history, self.folder.locks):
            folder.mkdir(parents=True)
        self.began_at = now()
        self.journal = Journal(self.folder.journal)
        self.job = extracted(2)
        store = RememberingStore(
            LocalStore(self.folder.storage),
            root=self.folder.storage,
            history=self.folder.history,
            locks=self.folder.locks,
        )
        user_hash = layout.user_hash(self.job.user_email)
        self.files = SessionFiles(store=store, user_hash=user_hash, session_id=self.job.session_id)

    async def upload(self) -> None:
        self.journal.note(What.BORN, pid=WORKER, name="worker1")
        await self.files.store.write(self.files.path("scan.pdf"), b"%PDF-1.7\n" + TOKEN.encode())
        await create(self.files, self.job)
        self.journal.note(What.ACCEPTED, session=self.job.session_id)

    async def read(self, page_no: int, text: str = "") -> None:
        self.journal.note(What.READS, pid=WORKER, token=TOKEN, page_no=page_no)
        outcome = PageOutcome(
            page_no=page_no,
            run=1,
            status=OutcomeStatus.COMPLETED,
            text=text or f"{script.text(TOKEN, page_no)}, reading 7.1",
        )
        await save_outcome(self.files, outcome, 0)

    def reckoned(self) -> Replay:
        library = {TOKEN: Document(token=TOKEN, pages=(PageScript(), PageScript()))}
        replay = Replay(library, self.began_at)
        replay.run(self.journal.entries(), versions(self.folder.storage, self.folder.history))
        self.journal.close()
        return replay


@pytest.fixture
def forgery(tmp_path: Path) -> Forgery:
    return Forgery(tmp_path)


async def test_page_read_again_after_its_outcome_is_duplicated(forgery: Forgery) -> None:
    await forgery.upload()
    for page_no in (1, 2, 1):
        await forgery.read(page_no)
    replay = forgery.reckoned()
    assert replay.duplicated == [(forgery.job.session_id, 1)]
    assert replay.recognitions == 3


async def test_accepted_job_that_has_not_ended_is_lost(forgery: Forgery) -> None:
    await forgery.upload()
    await forgery.read(1)
    replay = forgery.reckoned()
    assert replay.lost() == [(forgery.job.session_id, 0)]
    assert replay.culprits() == [forgery.job.session_id]


async def test_accepted_job_of_which_nothing_is_left_is_lost(forgery: Forgery) -> None:
    forgery.journal.note(What.ACCEPTED, session="1" * 32)
    assert forgery.reckoned().lost() == [("1" * 32, 0)]


async def test_round_without_a_job_is_broken(forgery: Forgery) -> None:
    assert forgery.reckoned().checker.broken == ["no job was made, so nothing was put to the test"]


async def test_text_of_another_page_is_seen(forgery: Forgery) -> None:
    await forgery.upload()
    await forgery.read(1, text=f"{script.text(TOKEN, 2)}, reading 7.1")
    assert "page 1 has another page's text" in forgery.reckoned().checker.broken


async def test_outcome_written_over_is_seen(forgery: Forgery) -> None:
    await forgery.upload()
    await forgery.read(1)
    path = forgery.files.path(layout.PAGE_OUTCOME.format(1))
    await forgery.files.store.write(path, (await forgery.files.store.read(path)).data)
    assert "page 1 changed after it could be read" in forgery.reckoned().checker.broken
