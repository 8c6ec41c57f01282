"""The model comes from the bucket of models (R55): Google's client, an emulator that fails, what `deploy` lays out."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.plan import plan
from libs.storage import fetch, retries
from libs.storage.errors import Unavailable
from libs.storage.gcs import GcsStore
from libs.storage.store import Stat
from services.worker.engines.engine import EngineUnavailable
from services.worker.modelcache.cache import ModelCache
from services.worker.modelcache.settings import ModelSettings
from services.worker.modelcache.snapshot import inspect
from tests.emulators.gcs.faults import Fault
from tests.emulators.gcs.server import Emulator
from tests.emulators.hub.model import COMMIT, NAME, made, place
from tests.integration.worker.modelcache.meter import CountingMeter
from tests.required import need_model_package

BUCKET = "gnosis-ocr-models"
FOLDER = f"models--{NAME.replace('/', '--')}"
SHARD = "model-00002-of-00002.safetensors"
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    monkeypatch.setattr(retries, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(retries, "LONGEST_PAUSE_SECONDS", 0.2)
    with Emulator(seed=3) as emulator:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator.url)
        emulator.make_bucket(BUCKET)
        yield emulator


def cache(root: Path, *, in_cloud: bool = True, meter: CountingMeter | None = None, **settings: str) -> ModelCache:
    chosen = ModelSettings(hf_endpoint=NOWHERE, **{"model_revision": "main", **settings})  # type: ignore[arg-type]
    return ModelCache(chosen, root=root, in_cloud=in_cloud, meter=meter or CountingMeter())


async def fill(folder: Path, revision: str) -> None:
    """Run the stage `models` of the deployment; its copies are made here as `gcloud storage cp` makes them."""
    given = {"PROJECT": "acme-ocr-1", "PROJECT_NUMBER": "1", "MODEL_REVISION": revision, "MODEL_BUCKET_NAME": BUCKET}
    store = GcsStore(BUCKET)
    for step in plan(["models"], given):
        for command in step.commands:
            words = [word for word in command.words if isinstance(word, str)]
            if words[:3] == ["gcloud", "storage", "cp"]:
                *_, source, target = (word for word in words if "/" in word)
                await upload(
                    store, folder / source.removeprefix("build/models/"), target.removeprefix(f"gs://{BUCKET}/")
                )
    store.close()


async def upload(store: GcsStore, source: Path, target: str) -> None:
    """A folder goes below the target under its own name; links become files."""
    assert source.is_dir(), "gcloud ends with an error where there is nothing to copy"
    for file in source.rglob("*"):
        if file.is_file():
            await store.write(f"{target}{file.relative_to(source.parent)}", file.read_bytes())


@pytest.mark.parametrize("revision", ["main", COMMIT], ids=["branch", "commit"])
async def test_model_is_copied_as_the_deployment_laid_it_out(tmp_path: Path, emulator: Emulator, revision: str) -> None:
    files = made(shards=3)
    place(tmp_path / "pulled", files, linked=True)
    if revision == COMMIT:
        # As the hub's library leaves it when it is asked for a commit.
        (tmp_path / "pulled" / "hub" / FOLDER / "refs" / "main").unlink()
        (tmp_path / "pulled" / "hub" / FOLDER / "refs").rmdir()
    await fill(tmp_path / "pulled", revision)
    meter = CountingMeter()
    copied = cache(tmp_path / "cache", meter=meter, model_revision=revision)

    found = await copied.ensure()

    assert found.revision == COMMIT
    assert {file.name: file.read_bytes() for file in found.folder.iterdir()} == {
        name: data for name, data in files.items() if name not in ("README.md", "picture.png")
    }
    assert meter.ways == ["bucket"]
    assert not list(tmp_path.rglob("cache/**/*.incomplete"))
    report = await copied.describe()
    assert report.source is not None
    assert report.source.startswith(f"Copied from the bucket {BUCKET} in ")


async def test_copy_survives_faults_of_the_bucket_complete(
    tmp_path: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "RANGE_BYTES", 20_000)
    files = made(shards=3, shard_bytes=300_000)
    place(tmp_path / "pulled", files)
    await fill(tmp_path / "pulled", "main")
    emulator.faults.set({Fault.UNAVAILABLE: 0.08, Fault.BUSY: 0.04, Fault.RESET: 0.08, Fault.CUT: 0.1})

    found = await cache(tmp_path / "cache").ensure()

    assert all((found.folder / name).read_bytes() == data for name, data in files.items() if "model-" in name)
    assert sum(emulator.faults.happened.values()) >= 5


async def test_copy_that_was_cut_short_goes_on_with_what_is_missing(
    tmp_path: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "PATIENCE_SECONDS", 0.3)
    files = made()
    place(tmp_path / "pulled", files)
    await fill(tmp_path / "pulled", "main")
    emulator.faults.order(Fault.UNAVAILABLE, text=SHARD, times=50)

    with pytest.raises(EngineUnavailable, match=f"The bucket of models {BUCKET} cannot be read"):
        await cache(tmp_path / "cache").ensure()
    torn = inspect(tmp_path / "cache" / "hub", NAME, "main")
    assert not list((tmp_path / "cache").rglob("*.incomplete")), "a copy that failed takes no room"
    emulator.faults._orders.clear()
    first = tmp_path / "cache" / "hub" / FOLDER / "snapshots" / COMMIT / "model-00001-of-00002.safetensors"
    was_there = first.stat().st_mtime_ns if first.exists() else None
    found = await cache(tmp_path / "cache").ensure()

    assert not torn.complete
    assert found.revision == COMMIT
    assert was_there in (None, first.stat().st_mtime_ns), "what had come whole is kept"
    assert not list((tmp_path / "cache").rglob("*.incomplete"))


@pytest.mark.parametrize(
    ("lost", "message"),
    [("refs/main", "lacks"), (f"snapshots/{COMMIT}/{SHARD}", f"{SHARD} is not there"), ("", "lacks")],
    ids=["ref", "shard", "all"],
)
async def test_bucket_that_lacks_the_model_says_so_and_how_to_fill_it(
    tmp_path: Path, emulator: Emulator, lost: str, message: str
) -> None:
    need_model_package("huggingface_hub")
    place(tmp_path / "pulled", made())
    if lost:
        await fill(tmp_path / "pulled", "main")
        store = GcsStore(BUCKET)
        await store.delete(f"hub/{FOLDER}/{lost}")
        store.close()

    with pytest.raises(EngineUnavailable) as caught:
        await cache(tmp_path / "cache").ensure()

    assert message in str(caught.value)
    assert "make deploy-models" in str(caught.value)
    assert "cannot be downloaded" in str(caught.value), "then the hub was asked"
    assert not inspect(tmp_path / "cache" / "hub", NAME, "main").complete


async def test_bucket_that_does_not_exist_is_named(tmp_path: Path, emulator: Emulator) -> None:
    with pytest.raises(EngineUnavailable, match=r"elsewhere.*Correct MODEL_BUCKET_NAME"):
        await cache(tmp_path, in_cloud=False, model_bucket_name="elsewhere", model_revision=COMMIT).ensure()


async def test_two_processes_worth_of_caches_copy_once(tmp_path: Path, emulator: Emulator) -> None:
    place(tmp_path / "pulled", made())
    await fill(tmp_path / "pulled", "main")
    meter = CountingMeter()

    found = await asyncio.gather(*(cache(tmp_path / "cache", meter=meter).ensure() for _ in range(3)))

    assert len(set(found)) == 1
    assert meter.ways == ["bucket"]


class Falsified:
    """A bucket whose second range arrives with one bit turned."""

    def piece(self, found: Stat, start: int, stop: int) -> bytes:
        """Of `Source`."""
        return bytes(stop - start) if not start else b"\1" + bytes(stop - start - 1)

    def __init__(self, checksum: str) -> None:
        self._checksum = checksum

    def checksum(self, found: Stat) -> str:
        """Of `Source`: the right one."""
        return self._checksum


async def test_object_that_was_falsified_on_its_way_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, emulator: Emulator
) -> None:
    store = GcsStore(BUCKET)
    await store.write("zeros", bytes(20))
    found = await store.stat("zeros")
    right = await asyncio.to_thread(store._bucket.checksum, found)
    monkeypatch.setattr(fetch, "RANGE_BYTES", 10)

    with pytest.raises(Unavailable, match="does not match its checksum"):
        await fetch.fetch(
            Falsified(right),
            found,
            tmp_path / "x",
            slots=asyncio.Semaphore(2),
            run=asyncio.to_thread,
            arrived=lambda _: None,
        )
    await store.fetch(found, tmp_path / "y", arrived=lambda _: None)
    store.close()

    assert (tmp_path / "y").read_bytes() == bytes(20)
