"""The progress of a job, as a bar on the terminal."""

import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import msgspec
from tqdm import tqdm


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """How far a job is in what it does now; `total` is None while the pages are not counted."""

    name: str
    done: int
    total: int | None


def phase(record: Mapping[str, Any]) -> Phase:
    """The phase of a job's record: first the pages are extracted, then they are read."""
    pages = record["pages"].values()
    total = len(pages) or None
    if record["current_step"] in ("queued", "extracting_images"):
        return Phase(name="Extracting", done=sum(1 for page in pages if page["image"]), total=total)
    ended = sum(1 for page in pages if page["status"] in ("completed", "failed"))
    return Phase(name="Reading", done=ended, total=total)


class ProgressBar:
    """Shows records on stderr, one bar for each phase."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._shown = ""

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def show(self, record: Mapping[str, Any]) -> None:
        """Move the bar to where the record is."""
        now = phase(record)
        if self._bar is None or self._shown != now.name:
            self._close()
            self._shown = now.name
            self._bar = tqdm(desc=now.name, unit="page", file=sys.stderr, dynamic_ncols=True)
        self._bar.total = now.total
        self._bar.n = now.done
        self._bar.set_postfix_str(str(record["message"]), refresh=False)
        self._bar.refresh()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
