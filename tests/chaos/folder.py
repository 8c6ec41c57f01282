"""Where a round keeps its things."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

VARIABLE = "CHAOS_FOLDER"


class Folder(msgspec.Struct, frozen=True, kw_only=True):
    """The files of a round. Only what lies below `disk` suffers the outages."""

    root: Path

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Folder":
        """The folder that the environment names."""
        return cls(root=Path(environ[VARIABLE]))

    @property
    def disk(self) -> Path:
        return self.root / "disk"

    @property
    def storage(self) -> Path:
        return self.disk / "storage"

    @property
    def history(self) -> Path:
        return self.disk / "history"

    @property
    def locks(self) -> Path:
        return self.root / "locks"

    @property
    def library(self) -> Path:
        return self.root / "library"

    @property
    def trials(self) -> Path:
        return self.root / "trials"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def temporary(self) -> Path:
        return self.root / "tmp"

    @property
    def journal(self) -> Path:
        return self.root / "journal"

    @property
    def queue_file(self) -> Path:
        return self.root / "queue.yaml"

    @property
    def outage(self) -> Path:
        return self.root / "outage"
