"""`python -m bench.counted.web`: the web service. At its end it writes the counts to the file COUNTS, as JSON."""

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from libs.storage.store import ObjectStore
from services.serving.layers import Layers
from services.web.__main__ import main

#: The operations that read.
READS = ("read", "open_read", "stat", "list", "children")


class CountedStore:
    """A store that counts the reads from it."""

    def __init__(self, store: ObjectStore, counts: Counter[str]) -> None:
        self._store = store
        self._counts = counts

    def __getattr__(self, name: str) -> Any:
        if name in READS:
            self._counts[name] += 1
        return getattr(self._store, name)


if __name__ == "__main__":
    counted: Counter[str] = Counter()
    code = main(Layers(store=lambda store: CountedStore(store, counted)))
    Path(os.environ["COUNTS"]).write_text(json.dumps(counted))
    sys.exit(code)
