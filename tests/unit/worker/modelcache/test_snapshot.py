"""Complete or not, by the files alone (R52)."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from services.worker.modelcache.snapshot import in_words, inspect
from tests.emulators.hub.model import COMMIT, NAME, made, place, weights

Damage = Callable[[Path], object]

SHARD = "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"


def truncate(name: str, by: int = 1) -> Damage:
    def cut(folder: Path) -> None:
        blob = (folder / name).resolve()
        blob.write_bytes(blob.read_bytes()[:-by])

    return cut


def unlink(name: str) -> Damage:
    return lambda folder: (folder / name).unlink()


def dangle(name: str) -> Damage:
    return lambda folder: (folder / name).resolve().unlink()


def ref(text: str) -> Damage:
    return lambda folder: (folder.parents[1] / "refs" / "main").write_text(text)


FAULTS: dict[str, tuple[Damage, str]] = {
    "no-ref": (lambda folder: (folder.parents[1] / "refs" / "main").unlink(), "refs/main names no commit"),
    "empty-ref": (ref(""), "refs/main names no commit"),
    "torn-ref": (ref(COMMIT[:9]), f"snapshots/{COMMIT[:9]} does not exist"),
    "leading-ref": (ref("../../.."), "refs/main names no commit"),
    "shard": (unlink(SHARD), f"{SHARD} is not there"),
    "link": (dangle(SHARD), f"{SHARD} is not there"),
    "cut": (truncate(SHARD), f"{SHARD} has "),
    "longer": (lambda folder: (folder / SHARD).write_bytes((folder / SHARD).read_bytes() + b"\0"), "bytes in"),
    "empty": (lambda folder: (folder / SHARD).write_bytes(b""), f"{SHARD} holds no weights"),
    "pointer": (lambda folder: (folder / SHARD).write_text("version https://git-lfs"), "holds no weights"),
    "zeros": (lambda folder: (folder / SHARD).write_bytes(bytes(50_000)), "holds no weights"),
    "index": (unlink(INDEX), "neither model.safetensors nor"),
    "cut-index": (truncate(INDEX), f"{INDEX} is no index of weights"),
    "index-out": (
        lambda folder: (folder / INDEX).write_text('{"weight_map": {"a": "../../x.safetensors"}}'),
        "is no index of weights",
    ),
    "config": (unlink("config.json"), "config.json is not there"),
    "cut-config": (truncate("config.json"), "config.json is cut off or damaged"),
    "tokenizer": (unlink("tokenizer.json"), "tokenizer.json is not there"),
    "tokens": (unlink("tokenizer_config.json"), "tokenizer_config.json is not there"),
    "pixels": (unlink("preprocessor_config.json"), "preprocessor_config.json is not there"),
}


@pytest.mark.parametrize(("damage", "fault"), FAULTS.values(), ids=FAULTS.keys())
def test_snapshot_that_lacks_anything_is_not_complete_and_says_what(tmp_path: Path, damage: Damage, fault: str) -> None:
    folder = place(tmp_path, made())
    assert inspect(tmp_path / "hub", NAME, "main").complete
    damage(folder)

    found = inspect(tmp_path / "hub", NAME, "main")

    assert not found.complete
    assert fault in in_words(found.missing)


@pytest.mark.parametrize("linked", [True, False], ids=["links", "plain"])
@pytest.mark.parametrize("shards", [1, 3])
def test_whole_snapshot_is_complete_as_links_and_as_plain_files(tmp_path: Path, shards: int, linked: bool) -> None:
    files = made(shards=shards)
    folder = place(tmp_path, files, linked=linked)

    found = inspect(tmp_path / "hub", NAME, "main")

    assert found.complete, found.missing
    assert (found.folder, found.commit) == (folder, COMMIT)
    assert found.size_bytes == sum(map(len, files.values()))


@pytest.mark.parametrize(
    "swap",
    [
        {"tokenizer.json": {"vocab.json": b"{}", "merges.txt": b"a b"}},
        {"preprocessor_config.json": {"processor_config.json": b"{}"}},
    ],
    ids=["merges", "processor"],
)
def test_other_files_to_the_same_end_will_do(tmp_path: Path, swap: dict[str, dict[str, bytes]]) -> None:
    files = made()
    for name, others in swap.items():
        del files[name]
        files |= others
    place(tmp_path, files)

    assert inspect(tmp_path / "hub", NAME, "main").complete


def test_commit_needs_no_ref_and_another_revision_is_another_matter(tmp_path: Path) -> None:
    place(tmp_path, made(), revision="refs/pr/1")

    assert inspect(tmp_path / "hub", NAME, COMMIT).complete
    assert inspect(tmp_path / "hub", NAME, "refs/pr/1").complete
    assert not inspect(tmp_path / "hub", NAME, "main").complete
    assert not inspect(tmp_path / "hub", "nanonets/Another", "main").present


def test_sizes_that_the_hub_listed_count_for_files_that_do_not_know_their_own(tmp_path: Path) -> None:
    files = made()
    folder = place(tmp_path, files)
    tree = folder.parents[1] / "trees" / f"{COMMIT}.json"
    tree.parent.mkdir()
    listed = {name: {"size": len(data), "blob_id": "0"} for name, data in files.items()}
    tree.write_text(json.dumps({"format_version": 1, "files": listed}))
    assert inspect(tmp_path / "hub", NAME, "main").complete
    listed["chat_template.jinja"]["size"] = 99
    tree.write_text(json.dumps({"format_version": 1, "files": listed}))

    found = inspect(tmp_path / "hub", NAME, "main")

    assert in_words(found.missing) == "chat_template.jinja has 14 bytes instead of 99"
    assert found.damaged == (folder / "chat_template.jinja",)


def test_of_an_index_with_one_more_shard_only_that_one_is_missing(tmp_path: Path) -> None:
    files = made(shards=3)
    place(tmp_path, files)
    more = json.dumps({"weight_map": {"a": "model-00001-of-00003.safetensors", "b": "model-00004.safetensors"}})
    (tmp_path / "hub" / f"models--{NAME.replace('/', '--')}" / "snapshots" / COMMIT / INDEX).write_text(more)

    assert in_words(inspect(tmp_path / "hub", NAME, "main").missing) == "model-00004.safetensors is not there"


def test_weights_know_their_own_size(tmp_path: Path) -> None:
    file = place(tmp_path, made(shards=1)) / "model.safetensors"
    file.write_bytes(weights(1000)[:-1] + b"ab")

    assert "instead of" in in_words(inspect(tmp_path / "hub", NAME, "main").missing)
