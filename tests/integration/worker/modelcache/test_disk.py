"""The model's cache on difficult disks: network mounts, folders that cannot be written, full disks."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.worker.engines.engine import EngineUnavailable
from services.worker.modelcache import disk
from services.worker.modelcache.cache import ModelCache
from services.worker.modelcache.progress import OnProgress
from services.worker.modelcache.settings import ModelSettings
from tests.emulators.hub.model import COMMIT, made, place
from tests.integration.worker.modelcache.meter import CountingMeter

# The user id of `nobody` on Linux.
NOBODY = 65534


def cache(root: Path, meter: CountingMeter) -> ModelCache:
    return ModelCache(
        ModelSettings(hf_endpoint="http://127.0.0.1:9", model_revision="main"), root=root, in_cloud=False, meter=meter
    )


async def test_model_on_a_network_mount_is_read_once_from_end_to_end_before_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = made(shards=3, shard_bytes=40_000)
    place(tmp_path / "mounted", files, linked=False)
    mounts = tmp_path / "mounts"
    mounts.write_text(f"overlay / overlay rw 0 0\nmodels {tmp_path / 'mounted'} fuse.gcsfuse ro 0 0\n")
    monkeypatch.setattr(disk, "MOUNTS", mounts)
    meter, read = CountingMeter(), set[str]()
    whole = disk.read_once

    async def noted(files: list[Path], *, on_progress: OnProgress) -> None:
        read.update(file.name for file in files)
        await whole(files, on_progress=on_progress)

    monkeypatch.setattr(disk, "read_once", noted)
    mounted = cache(tmp_path / "mounted", meter)

    found = [await mounted.ensure() for _ in range(2)]

    assert found[0].revision == COMMIT
    assert (meter.hits, meter.ways) == ([True, True], ["read"])
    assert read == {name for name in files if name.endswith(".safetensors")}
    report = await mounted.describe()
    assert report.source is not None
    assert "was read once from end to end" in report.source
    assert report.progress is None


async def test_model_on_a_disk_of_this_machine_is_not_read_beforehand(tmp_path: Path) -> None:
    place(tmp_path, made())
    meter = CountingMeter()
    await cache(tmp_path, meter).ensure()
    assert meter.ways == []


async def test_every_byte_of_a_mount_is_read_and_reported(tmp_path: Path) -> None:
    files = [tmp_path / str(number) for number in range(6)]
    for number, file in enumerate(files):
        file.write_bytes(bytes(number * 1000))
    reported: list[int] = []

    await disk.read_once(files, on_progress=lambda progress: reported.append(progress.bytes_done))

    assert reported == sorted(reported)
    assert reported[-1] == 15_000


@contextmanager
def unprivileged() -> Iterator[None]:
    """Run as the user `nobody` where the tests run as root, who may write everywhere."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


async def test_folder_that_may_not_be_written_to_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o555)

    with unprivileged(), pytest.raises(EngineUnavailable) as caught:
        await cache(tmp_path / "cache", CountingMeter()).ensure()

    assert f"The model cache {tmp_path / 'cache'} does not let this user write" in str(caught.value)
    assert "HF_CACHE_HOST_PATH" in str(caught.value)


async def test_root_that_is_no_folder_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")

    with pytest.raises(EngineUnavailable, match=r"cannot be used.*Set HF_CACHE_HOST_PATH"):
        await cache(tmp_path / "cache", CountingMeter()).ensure()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "is full. Free some of it, or set MODEL_CACHE_PATH"),
        (errno.EDQUOT, "is full"),
        (errno.EROFS, "is read-only"),
        (errno.EACCES, "does not let this user write"),
    ],
    ids=["full", "quota", "read-only", "denied"],
)
def test_faults_of_the_disk_have_words_of_their_own(number: int, words: str) -> None:
    sentence = disk.describe_fault(OSError(number, "?"), Path("/models"), "MODEL_CACHE_PATH")
    assert sentence is not None
    assert words in sentence
    assert disk.describe_fault(OSError(errno.EIO, "?"), Path("/models"), "MODEL_CACHE_PATH") is None
