"""The instruments of the chaos run: what they would not notice, nobody would."""

import asyncio
from pathlib import Path

import pytest

from libs.storage.errors import PreconditionFailed
from libs.storage.local import LocalStore
from tests.chaos import paper
from tests.chaos.failpoints import parse
from tests.chaos.history import RememberingStore, versions
from tests.simulation.script import Document, PageScript


def test_failpoint_is_read_as_it_is_written() -> None:
    (point,) = parse("write:after:*/batches/0*.json=kill#3")
    assert (point.place, point.act, point.passes) == ("write:after:*/batches/0*.json", "kill", 3)
    assert parse("") == []


@pytest.mark.parametrize("text", ["write:after:*=explode#1", "read:after:*=kill#1", "write:during:*=kill#1"])
def test_failpoint_that_would_never_fire_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"the act is|a place is"):
        parse(text)


async def test_history_has_every_version_that_rivals_wrote(tmp_path: Path) -> None:
    root, history, locks = tmp_path / "storage", tmp_path / "history", tmp_path / "locks"
    history.mkdir()
    locks.mkdir()
    store = RememberingStore(LocalStore(root), root=root, history=history, locks=locks)
    path = "users/aaaaaaaaaaaa/one"

    async def rival(number: int) -> int:
        try:
            standing = (await store.stat(path)).generation
            return await store.write(path, f"{number}".encode(), if_generation=standing)
        except PreconditionFailed:
            return 0

    written = [await store.write(path, b"first")]
    written += filter(None, await asyncio.gather(*(rival(number) for number in range(20))))
    await store.delete(path)
    written.append(await store.write(path, b"again"))
    with pytest.raises(PreconditionFailed):
        await store.write(path, b"too late", if_generation=0)
    found = versions(root, history)
    assert [v.at for v in found if v.stored] == sorted(written)
    assert [v.stored is None for v in found] == [False] * (len(written) - 1) + [True, False]


def test_object_that_has_gone_unseen_is_told_as_gone(tmp_path: Path) -> None:
    root, history = tmp_path / "storage", tmp_path / "history"
    history.mkdir()
    root.mkdir()
    (history / "users%2Fa%2Fb@1000000").write_bytes(b"")
    assert [v.stored is None for v in versions(root, history)] == [False, True]


@pytest.mark.parametrize("made", [paper.pdf, paper.tiff], ids=["pdf", "tiff"])
def test_upload_ends_in_its_token(made: object) -> None:
    document = Document(token="0a1b2c3d", pages=(PageScript(), PageScript()))
    assert callable(made)
    assert made(document).rpartition(b"\n")[2] == b"0a1b2c3d"
