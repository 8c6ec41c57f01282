"""The chosen points: every kind of write, deletion, enqueueing and answer, before and after."""

import random
from collections import Counter

_WEB = (
    "write:active/*",
    "write:*/scan.*",
    "write:*/intake.json",
    "write:*/processing.json",
    "write:*/batches/extract.json",
    "write:*/page_*.png",
    "write:*/page_*_result.json",
    "write:tombstones/*",
    "delete:*/processing.json",
    "delete:*/page_*",
    "delete:active/*",
    "enqueue:ocr-extraction",
    "enqueue:ocr-processing",
    "answer:POST /upload",
    "answer:POST /internal/extract",
    "answer:POST /internal/queues/*",
    "answer:POST */cancel",
    "answer:POST */retry",
    "answer:DELETE *",
    "answer:GET */status",
)
_WORKER = (
    "write:*/batches/0*.json",
    "write:*/page_*_result.json",
    "write:*/page_*_result.txt",
    "write:*/processing.json",
    "write:*/batches/combine.json",
    "write:*/combined_output.md",
    "delete:active/*",
    "enqueue:ocr-processing",
    "answer:POST /process-ocr-batch",
)

# Cloud Tasks takes tasks from the worker itself.
_LOCAL = ("answer:POST /internal/queues/*",)
# Users of a bucket send it some of their files by themselves.
_CLOUD = ("write:*/upload.json", "answer:POST /api/direct-uploads", "answer:POST */complete")

# An upload that dies between its intake and its record is left alone for a minute, since it might still be going on.
SLOW = ("write:after:*/intake.json", "write:before:*/processing.json")


def places(program: str, *, in_cloud: bool = False) -> list[str]:
    """Where this program can be struck."""
    found = []
    known: tuple[str, ...] = _WEB if program == "web" else _WORKER
    if in_cloud and program == "web":
        known = (*(place for place in _WEB if place not in _LOCAL), *_CLOUD)
    for place in known:
        call, _, pattern = place.partition(":")
        found += [f"{call}:before:{pattern}", f"{call}:after:{pattern}"]
    return found


def choose(
    program: str, struck: Counter[str], rng: random.Random, count: int, *, quick: bool, in_cloud: bool = False
) -> list[str]:
    """Places that were struck seldom so far."""
    known = [place for place in places(program, in_cloud=in_cloud) if not (quick and place in SLOW)]
    weights = [1 / (1 + struck[f"{program} {place}"]) ** 2 for place in known]
    return list(dict.fromkeys(rng.choices(known, weights, k=count)))
