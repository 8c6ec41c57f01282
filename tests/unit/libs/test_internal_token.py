"""The secret that the services of one installation share when none is configured."""

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest

from libs.internal_token import REFRESH_SECONDS, InternalToken, internal_token, rotate
from libs.storage import layout
from libs.storage.errors import NotFound, TooFast, Unavailable
from libs.storage.memory import MemoryStore
from libs.storage.store import Stored
from tests.waiting import until

PATH = layout.system_path("internal_token")


async def test_services_that_start_together_have_one_secret() -> None:
    store = MemoryStore()
    found = await asyncio.gather(*(internal_token(store, "") for _ in range(8)))
    assert len({token.value for token in found}) == 1


async def test_a_configured_token_may_have_several_values_of_which_the_first_is_sent() -> None:
    token = await internal_token(MemoryStore(), " new , old,")
    assert token.headers() == {"X-Internal-Token": "new"}
    for given in ("new", "old"):
        assert await token.accepts(given)
    for wrong in ("new,old", "", None, "ne"):
        assert not await token.accepts(wrong), wrong


@pytest.mark.parametrize("text", ["", ",", " , "])
async def test_a_token_without_a_value_accepts_nothing(text: str) -> None:
    token = InternalToken(text)
    assert token.value == ""
    for given in ("", ",", None):
        assert not await token.accepts(given)


async def test_what_each_service_sends_in_a_rotation_is_accepted_by_all_however_far_they_are() -> None:
    phases = ["old", "old,new", "new,old", "new"]
    for neighbours in pairwise(phases):
        for sender in neighbours:
            for receiver in neighbours:
                assert await InternalToken(receiver).accepts(InternalToken(sender).value), (sender, receiver)
    assert not await InternalToken("new").accepts("old")


async def test_a_stored_token_is_read_again_before_an_unknown_value_is_refused() -> None:
    store = MemoryStore()
    service = await internal_token(store, "")
    old = service.value
    await store.write(PATH, f"new,{old}".encode())
    assert service.value == old, "it has not noticed yet"
    assert await service.accepts("new")
    assert await service.accepts(old)
    assert service.value == "new"
    await store.write(PATH, b"new")
    assert not await service.accepts("other")
    assert not await service.accepts(old)


async def test_a_rotation_leaves_one_new_value_and_all_services_follow(let_time_pass: Callable[[float], None]) -> None:
    store = MemoryStore()
    services = [await internal_token(store, "") for _ in range(2)]
    old, made = services[0].value, (await store.stat(PATH)).generation
    following = [asyncio.create_task(service.follow()) for service in services]
    rotating = asyncio.create_task(rotate(store, settle_seconds=3600.0))
    while (await store.stat(PATH)).generation == made:  # noqa: ASYNC110 - it is written by another task
        await asyncio.sleep(0)
    let_time_pass(REFRESH_SECONDS)
    await until(lambda: all(service.value != old for service in services))
    for receiver in services:
        for given in (old, *(sender.value for sender in services)):
            assert await receiver.accepts(given)
    let_time_pass(3600.0)
    await rotating
    let_time_pass(REFRESH_SECONDS)
    for service in services:
        while await service.accepts(old):  # noqa: ASYNC110 - until it has read the token again
            await asyncio.sleep(0)
    assert (await store.read(PATH)).data.decode() == services[0].value
    for task in following:
        task.cancel()


async def test_what_an_interrupted_rotation_left_is_ended_by_the_next() -> None:
    store = MemoryStore()
    old = (await internal_token(store, "")).value
    await store.write(PATH, f"half,{old}".encode())
    await rotate(store, settle_seconds=0.0)
    left = await internal_token(store, "")
    for given in ("half", old):
        assert not await left.accepts(given)


async def test_without_a_token_there_is_nothing_to_rotate_and_of_two_rotations_one_ends() -> None:
    store = MemoryStore()
    with pytest.raises(NotFound):
        await rotate(store, settle_seconds=0.0)
    await internal_token(store, "")
    outcomes = await asyncio.gather(*(rotate(store, settle_seconds=0.0) for _ in range(2)), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", "PreconditionFailed"]


async def test_a_storage_that_fails_ends_nothing_and_changes_nothing(let_time_pass: Callable[[float], None]) -> None:
    class Away(MemoryStore):
        """Answers the first read alone."""

        reads = 0

        async def read(self, path: str) -> Stored:
            self.reads += 1
            if self.reads > 1:
                raise Unavailable(path)
            return await super().read(path)

    store = Away()
    await store.write(PATH, b"kept")
    service = await internal_token(store, "")
    following = asyncio.create_task(service.follow())
    for reads in (2, 3):
        await asyncio.sleep(0)
        let_time_pass(REFRESH_SECONDS)
        await until(lambda reads=reads: store.reads >= reads)  # type: ignore[misc]
    assert not following.done()
    assert service.value == "kept"
    with pytest.raises(Unavailable):
        await service.accepts("other")
    following.cancel()


async def test_service_that_comes_a_moment_after_another_waits_for_the_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    class OneASecond(MemoryStore):
        """Refuses the first write, for pace."""

        refused = 0

        async def write(self, path, data, *, if_generation=None):  # type: ignore[no-untyped-def]
            if not self.refused:
                self.refused += 1
                raise TooFast(path)
            return await super().write(path, data, if_generation=if_generation)

    monkeypatch.setattr("libs.storage.pace.PAUSE_SECONDS", 0.0)
    store = OneASecond()
    assert (await internal_token(store, "")).value == (await internal_token(store, "")).value
    assert store.refused == 1
