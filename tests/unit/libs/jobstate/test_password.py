"""The password of a document: where it is kept, and until when."""

import msgspec

from libs.jobstate import active, password
from libs.jobstate.active import announce
from libs.jobstate.job import Job
from libs.storage import layout
from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles
from tests.jobs import START, opened

SECRET = " geh\u00efm \u20ac "


def protected() -> Job:
    """A job whose upload had a password."""
    job = opened()
    return msgspec.structs.replace(job, options=msgspec.structs.replace(job.options, has_password=True))


class Counted(MemoryStore):
    """Counts the requests for what is below `private/`."""

    requests = 0

    async def read(self, path):  # type: ignore[no-untyped-def]
        self.requests += "/private/" in path
        return await super().read(path)

    async def delete(self, path, *, if_generation=None):  # type: ignore[no-untyped-def]
        self.requests += "/private/" in path
        await super().delete(path, if_generation=if_generation)


async def test_it_is_read_as_it_was_kept_until_it_is_forgotten(files: SessionFiles) -> None:
    assert await password.read(files, protected()) is None
    await password.keep(files, SECRET)
    assert await password.read(files, protected()) == SECRET
    assert [stat.path async for stat in files.store.list("")] == [files.path(layout.PASSWORD)]
    for _ in range(2):
        await password.forget(files, protected())
        assert await password.read(files, protected()) is None


async def test_a_document_without_one_costs_no_request() -> None:
    store = Counted()
    files = SessionFiles(store=store, user_hash="a" * 12, session_id="0" * 32)
    await announce(files, run=1)
    assert await password.read(files, opened()) is None
    await password.forget(files, opened())
    await active.remove(files, opened().cancel(START))
    assert store.requests == 0


async def test_no_password_is_left_of_a_job_that_has_ended(files: SessionFiles) -> None:
    await announce(files, run=1)
    await password.keep(files, SECRET)
    await active.remove(files, protected().cancel(START))
    assert [stat.path async for stat in files.store.list("")] == []


async def test_the_end_of_one_run_does_not_take_away_the_password_of_the_next(files: SessionFiles) -> None:
    await announce(files, run=2)
    await password.keep(files, SECRET)
    await active.remove(files, protected().cancel(START))
    assert await password.read(files, protected()) == SECRET


async def test_after_a_death_between_the_two_the_sweep_still_finds_the_job(files: SessionFiles) -> None:
    """The password goes first: the index leads the sweep to what is left."""
    order: list[str] = []

    class Ordered(MemoryStore):
        async def delete(self, path, *, if_generation=None):  # type: ignore[no-untyped-def]
            order.append(path.rsplit("/", 1)[-1])
            await super().delete(path, if_generation=if_generation)

    files = msgspec.structs.replace(files, store=Ordered())
    await announce(files, run=1)
    await password.keep(files, SECRET)
    await active.remove(files, protected().cancel(START))
    assert order == ["password", files.session_id]
