"""The model comes from the hub once (R53): the unmodified `huggingface_hub`, a hub of ours, real processes."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from libs.config import read
from services.worker.config import WorkerConfig
from services.worker.engines.context import ModelFiles
from services.worker.engines.engine import EngineUnavailable
from services.worker.modelcache.cache import CacheReport, ModelCache
from services.worker.modelcache.hubcache import lock_file
from services.worker.modelcache.lock import is_free
from services.worker.modelcache.snapshot import inspect
from tests import ROOT
from tests.emulators.hub.model import COMMIT, NAME, made, place
from tests.emulators.hub.server import Hub, sha256
from tests.integration.worker.modelcache.meter import CountingMeter
from tests.required import need_model_package

need_model_package("huggingface_hub")

# How long a test waits for another process before it fails. Chosen for a busy machine.
PATIENCE_SECONDS = 60.0
FOLDER = f"models--{NAME.replace('/', '--')}"
SHARD = "model-00001-of-00002.safetensors"


@pytest.fixture(autouse=True)
def nothing_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("HF_", "MODEL_"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub


def a_cache(root: Path, hub: Hub, meter: CountingMeter, **environ: str) -> ModelCache:
    config = read(WorkerConfig, {"HF_ENDPOINT": hub.url, "MODEL_REVISION": "main", **environ})
    return ModelCache(config.model, root=root, in_cloud=False, meter=meter)


async def brought(root: Path, hub: Hub, **environ: str) -> ModelFiles:
    return await a_cache(root, hub, CountingMeter(), **environ).ensure()


async def refused(root: Path, hub: Hub, **environ: str) -> str:
    with pytest.raises(EngineUnavailable) as caught:
        await brought(root, hub, **environ)
    assert not inspect(root / "hub", NAME, "main").complete
    return str(caught.value)


def start(root: Path, hub: Hub, *program: str, log: Path | None = None, **environ: str) -> "subprocess.Popen[str]":
    """The command that fetches, as a process. It logs to standard error, or to `log`."""
    with contextlib.ExitStack() as files:
        return subprocess.Popen(
            [sys.executable, *(program or ("-m", "services.worker.modelcache"))],
            cwd=ROOT,
            env={
                **os.environ,
                "HF_CACHE_HOST_PATH": str(root),
                "HF_ENDPOINT": hub.url,
                "MODEL_REVISION": "main",
                **environ,
            },
            stdout=subprocess.PIPE,
            stderr=files.enter_context(log.open("w")) if log else subprocess.PIPE,
            text=True,
        )


def ended(process: "subprocess.Popen[str]") -> str:
    out, log = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, log
    return out


def until(holds: object, what: str) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < end, f"waited for {what}"
        time.sleep(0.02)


async def test_model_comes_whole_once_and_is_not_asked_for_again(tmp_path: Path, hub: Hub) -> None:
    files = made()
    hub.add(files)
    meter = CountingMeter()

    found = await a_cache(tmp_path, hub, meter).ensure()
    asked = hub.asked.total()
    again = await a_cache(tmp_path, hub, meter).ensure()

    assert found == again
    assert (found.name, found.revision) == (NAME, COMMIT)
    assert (tmp_path / "hub" / FOLDER / "refs" / "main").read_text() == COMMIT
    there = {file.name: file.read_bytes() for file in found.folder.iterdir()}
    assert there == {name: data for name, data in files.items() if name not in ("README.md", "picture.png")}
    assert hub.asked.total() == asked
    assert (meter.hits, meter.ways) == ([False, True], ["hub"])


FORBIDDEN = """
import os, runpy, sys
def guard(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "subprocess.Popen"):
        sys.stderr.write(f"{event} {arguments}"); sys.stderr.flush(); os._exit(99)
sys.addaudithook(guard)
"""
FETCH = """
try:
    runpy.run_module("services.worker.modelcache", run_name="__main__")
except SystemExit as end:
    assert end.code == 0
assert "huggingface_hub" not in sys.modules
"""
LOAD = """
from pathlib import Path
from services.worker.modelcache.download import go_offline
go_offline(os.environ)
folder = next(Path(os.environ["HF_CACHE_HOST_PATH"]).glob("hub/*/snapshots/*"))
import transformers
transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
import huggingface_hub
assert huggingface_hub.is_offline_mode()
"""


def test_whole_model_is_loaded_without_any_attempt_on_the_network(tmp_path: Path, hub: Hub) -> None:
    need_model_package("torch")
    from tests.tinymodel import make_model

    (tmp_path / "hub").mkdir()
    make_model(tmp_path / "hub")

    output = ended(start(tmp_path, hub, "-c", FORBIDDEN + FETCH + LOAD))

    assert "whole" in output
    assert hub.asked.total() == 0


def test_the_guard_of_that_test_catches_an_attempt(tmp_path: Path, hub: Hub) -> None:
    process = start(tmp_path, hub, "-c", FORBIDDEN + FETCH)
    _, log = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 99, log


async def test_strict_offline_fails_at_once_and_says_what_to_do(tmp_path: Path, hub: Hub) -> None:
    hub.add(made())

    for switch in ("MODEL_OFFLINE", "HF_HUB_OFFLINE"):
        message = await refused(tmp_path, hub, **{switch: "true"})
        assert message.startswith("Model cache not available")
        assert "unset MODEL_OFFLINE" in message
    assert hub.asked.total() == 0


async def test_connection_that_breaks_in_the_middle_is_taken_up_again(tmp_path: Path, hub: Hub) -> None:
    files = made(shards=1, shard_bytes=400_000)
    hub.add(files)
    hub.cuts = 1

    found = await brought(tmp_path, hub)

    assert (found.folder / "model.safetensors").read_bytes() == files["model.safetensors"]
    assert hub.cuts == 0
    # Not from the beginning: what had come was kept.
    assert hub.sent < 500_000


async def test_content_that_was_falsified_on_its_way_does_not_count(tmp_path: Path, hub: Hub) -> None:
    hub.add(made())
    hub.damaged = 1

    assert "was damaged on its way" in await refused(tmp_path, hub)
    assert (await brought(tmp_path, hub)).revision == COMMIT, "asked again, it comes whole"


async def test_token_goes_to_the_hub_and_not_to_where_its_files_are(tmp_path: Path, hub: Hub) -> None:
    hub.add(made(), private=True)

    await brought(tmp_path, hub, HF_TOKEN=hub.token)

    assert hub.tokens_at_the_store
    assert set(hub.tokens_at_the_store) == {""}


@pytest.mark.parametrize(
    ("kind", "environ", "message"),
    [
        ("plain", {"MODEL_NAME": "nanonets/Nothing"}, "Correct MODEL_NAME"),
        ("plain", {"MODEL_REVISION": "v9"}, "Correct MODEL_REVISION"),
        ("plain", {"MODEL_REVISION": "f" * 40}, "Correct MODEL_REVISION"),
        ("private", {}, "for a private model set HF_TOKEN"),
        ("gated", {}, "accepted its terms"),
        ("down", {}, "answers 503. Ask again later"),
        ("away", {}, "Check this machine's way to the network"),
    ],
    ids=["name", "revision", "commit", "private", "gated", "down", "away"],
)
async def test_model_that_cannot_be_had_is_refused_with_what_to_do(
    tmp_path: Path, hub: Hub, kind: str, environ: dict[str, str], message: str
) -> None:
    hub.add(made(), private=kind == "private", gated=kind == "gated")
    if kind == "down":
        hub.busy = 1000
    if kind == "away":
        environ = {"HF_ENDPOINT": "http://127.0.0.1:9"}

    assert message in await refused(tmp_path, hub, **environ)


async def test_model_without_all_of_its_files_is_refused(tmp_path: Path, hub: Hub) -> None:
    files = made()
    del files[SHARD]
    hub.add(files)

    assert f"not a whole model: {SHARD} is not there" in await refused(tmp_path, hub)


async def test_disk_that_cannot_hold_the_model_is_found_before_the_first_byte(tmp_path: Path, hub: Hub) -> None:
    files = made()
    repository = hub.add(files)
    honest = repository.listed
    repository.listed = lambda path: honest(path) | {"size": 10**15}  # type: ignore[method-assign]

    message = await refused(tmp_path, hub)

    assert "GB free" in message
    assert "set HF_CACHE_HOST_PATH to a larger one" in message
    assert hub.sent == 0


async def test_damaged_files_and_what_a_dead_download_left_make_room(tmp_path: Path, hub: Hub) -> None:
    files = made()
    hub.add(files)
    folder = place(tmp_path, files)
    blob = (folder / SHARD).resolve()
    blob.write_bytes(blob.read_bytes()[:-10])
    (folder / "config.json").resolve().unlink()
    (blob.parent / f"{'a' * 64}.0badcafe.incomplete").write_bytes(bytes(1000))
    sent = hub.sent

    found = await brought(tmp_path, hub)

    assert {name: (found.folder / name).read_bytes() for name in (SHARD, "config.json")} == {
        name: files[name] for name in (SHARD, "config.json")
    }
    assert not list(tmp_path.rglob("*.incomplete"))
    assert hub.sent - sent == len(files[SHARD]), "what was whole did not come again"


def test_two_processes_that_start_at_once_download_once(tmp_path: Path, hub: Hub) -> None:
    hub.add(made(shard_bytes=300_000))
    hub.hold_from = 100_000
    logs = [tmp_path / "first.log", tmp_path / "second.log"]
    processes = [start(tmp_path / "cache", hub, log=log) for log in logs]
    until(lambda: any("model_awaited" in log.read_text() for log in logs), "one process to wait for the other")
    hub.go_on()

    outputs = [ended(process) for process in processes]

    assert sum("Another process brought it." in line for line in outputs) == 1
    assert sum("Downloaded from" in line for line in outputs) == 1
    assert hub.asked["GET revision"] == 1
    assert hub.sent < 700_000


def test_download_that_is_killed_leaves_nothing_that_counts_and_the_next_one_completes(
    tmp_path: Path, hub: Hub
) -> None:
    hub.add(made(shard_bytes=300_000))
    hub.hold_from = 100_000
    first = start(tmp_path, hub)
    until(lambda: hub.sent >= 100_000, "the download to be in its middle")
    second = start(tmp_path, hub)

    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert not inspect(tmp_path / "hub", NAME, "main").complete
    hub.go_on()

    assert "Downloaded from" in ended(second), "the lock ended with its holder"
    assert inspect(tmp_path / "hub", NAME, "main").complete
    assert not list(tmp_path.rglob("*.incomplete"))


def test_lock_outlives_a_killed_worker_for_as_long_as_its_child_may_write(tmp_path: Path, hub: Hub) -> None:
    hub.add(made(shard_bytes=300_000))
    hub.hold_from = 50_000
    process = start(tmp_path, hub)
    until(lambda: hub.sent >= 50_000, "the download to be in its middle")
    (child,) = psutil.Process(process.pid).children()
    child.suspend()
    # The signal reaches the child's threads one by one, and one of them waits for the parent's end.
    until(lambda: child.status() == psutil.STATUS_STOPPED, "the child to stop")

    process.kill()
    process.communicate()
    held = not is_free(lock_file(tmp_path / "hub", NAME))
    child.resume()

    assert held
    until(lambda: is_free(lock_file(tmp_path / "hub", NAME)), "the child to end with its parent")


async def test_download_that_is_given_up_ends_its_process_and_a_later_one_completes(tmp_path: Path, hub: Hub) -> None:
    hub.add(made(shard_bytes=300_000))
    hub.hold_from = 50_000
    task = asyncio.create_task(brought(tmp_path, hub))
    await asyncio.to_thread(until, lambda: hub.sent >= 50_000, "the download to be in its middle")

    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    hub.go_on()

    assert task.cancelled()
    assert (await brought(tmp_path, hub)).revision == COMMIT


async def test_child_that_dies_is_a_refusal_and_the_next_one_completes(tmp_path: Path, hub: Hub) -> None:
    hub.add(made(shard_bytes=300_000))
    hub.hold_from = 50_000
    task = asyncio.create_task(brought(tmp_path, hub))
    await asyncio.to_thread(until, lambda: hub.sent >= 50_000, "the download to be in its middle")
    (child,) = [
        process
        for process in psutil.Process().children()
        if any("download_child" in word for word in process.cmdline())
    ]

    child.kill()
    with pytest.raises(EngineUnavailable, match="ended without saying how"):
        await task
    hub.go_on()

    assert (await brought(tmp_path, hub)).revision == COMMIT


async def test_progress_and_source_are_reported(tmp_path: Path, hub: Hub) -> None:
    files = made(shard_bytes=200_000)
    hub.add(files)
    hub.held.add(sha256(files[SHARD]))
    cache = a_cache(tmp_path, hub, CountingMeter())

    before = await cache.describe()
    task = asyncio.create_task(cache.ensure())
    seen: list[CacheReport] = []
    while not task.done():
        seen.append(await cache.describe())
        # One of both shards has come, and that was reported: now the other may.
        if seen[-1].progress and seen[-1].progress.bytes_done >= 200_000:
            hub.go_on()
        await asyncio.sleep(0.05)
    await task
    after = await cache.describe()

    assert (before.present, before.complete, before.offline, before.needed) == (False, False, False, False)
    done = [report.progress.bytes_done for report in seen if report.progress]
    assert done == sorted(done)
    assert 200_000 <= done[-1] <= 410_000
    assert not any(report.complete for report in seen[:-1] if report.progress and report.progress.bytes_done < 300_000)
    assert (after.present, after.complete, after.offline, after.needed) == (True, True, True, True)
    assert after.progress is None
    assert after.source is not None
    assert after.source.startswith("Downloaded from")


def test_nothing_of_the_token_is_logged(tmp_path: Path, hub: Hub) -> None:
    hub.add(made(), gated=True)
    process = start(tmp_path, hub, HF_TOKEN="hf_wrongsecret", LOG_LEVEL="DEBUG")

    out, log = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 1
    assert "accepted its terms" in log
    assert "hf_wrongsecret" not in out + log
