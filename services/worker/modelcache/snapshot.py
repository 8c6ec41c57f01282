"""The check of a model in a hub cache: complete, or what is missing (R52). Only reads, and uses no network."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from services.worker.modelcache import hubcache
from services.worker.modelcache.weights import Damaged, check_size, shards

#: What an engine needs beside the weights: each line is one thing, and each group of files in it is enough for that.
DESCRIPTIONS: tuple[tuple[tuple[str, ...], ...], ...] = (
    (("config.json",),),
    (("tokenizer_config.json",),),
    (("tokenizer.json",), ("vocab.json", "merges.txt"), ("tokenizer.model",)),
    (("preprocessor_config.json",), ("processor_config.json",)),
)


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What a cache holds of a model at a revision."""

    #: Where the files of the commit are or would be; `None` where the revision resolves to no commit.
    folder: Path | None = None
    #: What the revision resolves to; empty where it does not.
    commit: str = ""
    #: Whether `folder` exists.
    present: bool = False
    #: Of the files that are there.
    size_bytes: int = 0
    #: Each entry is the end of a sentence on one file that is missing or damaged.
    missing: tuple[str, ...] = ()
    #: Files that have to be removed before others can take their place.
    damaged: tuple[Path, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether an engine can be loaded from it."""
        return self.present and not self.missing


class _Listed(msgspec.Struct, frozen=True):
    size: int


class _Tree(msgspec.Struct, frozen=True):
    """`trees/COMMIT.json`: the list of the files at a commit, which the hub's library keeps."""

    files: dict[str, _Listed]


def inspect(hub: Path, model: str, revision: str) -> Snapshot:
    """Check the model in the cache whose hub folder is `hub`."""
    home = hub / hubcache.folder_name(model)
    try:
        return _inspect(home, revision)
    except OSError as error:
        # A folder without permission, a mount that is gone: for an engine there is no model.
        return Snapshot(missing=(f"{home} cannot be read ({error.strerror})",))


def _inspect(home: Path, revision: str) -> Snapshot:
    if not home.is_dir():
        return Snapshot(missing=(f"{home} does not exist",))
    commit = revision
    if not hubcache.is_commit(revision):
        try:
            commit = (home / "refs" / revision).read_text("ascii").strip()
        except (OSError, ValueError):
            commit = ""
        if not commit or "/" in commit or commit.startswith("."):
            return Snapshot(missing=(f"refs/{revision} names no commit",))
    folder = home / "snapshots" / commit
    if not folder.is_dir():
        return Snapshot(folder=folder, commit=commit, missing=(f"snapshots/{commit} does not exist",))
    check = _Check(folder)
    check.weights()
    check.descriptions()
    check.listed(home / "trees" / f"{commit}.json")
    return Snapshot(
        folder=folder,
        commit=commit,
        present=True,
        size_bytes=sum(_sizes(folder)),
        missing=tuple(check.missing),
        damaged=tuple(check.damaged),
    )


class _Check:
    """Checks the files of one snapshot; each fault is noted once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: set[str] = set()
        self.missing: list[str] = []
        self.damaged: list[Path] = []

    def weights(self) -> None:
        """One file of weights, or an index and all the files that it names."""
        if not self._is_there(hubcache.INDEX):
            if self._is_there(hubcache.SINGLE):
                self._look(hubcache.SINGLE)
            else:
                self.missing.append(f"neither {hubcache.SINGLE} nor {hubcache.INDEX} is there")
            return
        try:
            names = shards((self._folder / hubcache.INDEX).read_bytes())
        except Damaged as error:
            self._damage(hubcache.INDEX, str(error))
        except OSError as error:
            self.missing.append(f"{hubcache.INDEX} cannot be read ({error.strerror})")
        else:
            for name in names:
                self._look(name)

    def descriptions(self) -> None:
        """The files that describe how to use the weights."""
        for ways in DESCRIPTIONS:
            way = next((way for way in ways if all(self._is_there(name) for name in way)), ways[0])
            for name in way:
                self._look(name)

    def listed(self, tree: Path) -> None:
        """Every file that the hub listed, where its library keeps the list."""
        try:
            files = msgspec.json.decode(tree.read_bytes(), type=_Tree).files
        except (OSError, msgspec.MsgspecError):
            return
        for name, entry in files.items():
            if hubcache.is_wanted(name) and self._look(name):
                size = (self._folder / name).stat().st_size
                if size != entry.size:
                    self._damage(name, f"has {size} bytes instead of {entry.size}")

    def _look(self, name: str) -> bool:
        """Check this file once and note what is wrong with it; whether nothing is."""
        if name in self._seen:
            return self._folder / name not in self.damaged and self._is_there(name)
        self._seen.add(name)
        file = self._folder / name
        try:
            if name.endswith(".safetensors"):
                check_size(file)
            elif name.endswith(".json"):
                msgspec.json.decode(file.read_bytes(), type=msgspec.Raw)
            elif not file.is_file():
                raise FileNotFoundError
        except FileNotFoundError:
            self.missing.append(f"{name} is not there")
        except OSError as error:
            self.missing.append(f"{name} cannot be read ({error.strerror})")
        except Damaged as error:
            self._damage(name, str(error))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self._damage(name, "is cut off or damaged")
        else:
            return True
        return False

    def _damage(self, name: str, fault: str) -> None:
        self.missing.append(f"{name} {fault}")
        self.damaged.append(self._folder / name)

    def _is_there(self, name: str) -> bool:
        return (self._folder / name).is_file()


def _sizes(folder: Path) -> Iterator[int]:
    for file in folder.iterdir():
        if file.is_file():
            yield file.stat().st_size


def in_words(missing: Sequence[str]) -> str:
    """What is missing, as the end of a sentence; the first three where it is more."""
    more = f"; and {len(missing) - 3} more" if len(missing) > 3 else ""
    return "; ".join(missing[:3]) + more
