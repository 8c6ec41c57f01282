"""What web knows of the worker is never more than the worker stored."""

import pytest

from libs import workerstate
from libs.storage import layout
from libs.storage.memory import MemoryStore
from libs.workerstate import WorkerState


async def test_state_is_read_as_it_was_written() -> None:
    store = MemoryStore()
    state = WorkerState(holder="a", state="failed", reason="no model", engines=("cpu",), cache={"needed": False})
    await store.write(layout.WORKER_STATE, workerstate.encode(state))
    assert await workerstate.read(store) == state


@pytest.mark.parametrize("stored", [None, b"", b"[]", b'{"engines": "cpu"}', b"{", b'{"a":' + b"[" * 100_000 + b"}"])
async def test_without_a_readable_state_no_engine_is_known(stored: bytes | None) -> None:
    store = MemoryStore()
    if stored is not None:
        await store.write(layout.WORKER_STATE, stored)
    assert await workerstate.read(store) == WorkerState()


async def test_state_of_another_version_is_read_as_far_as_it_is_known() -> None:
    store = MemoryStore()
    await store.write(layout.WORKER_STATE, b'{"state": "ready", "of_a_later_version": [1]}')
    assert await workerstate.read(store) == WorkerState(state="ready")
