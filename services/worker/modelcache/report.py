"""What the cache tells of itself (R57)."""

import msgspec

from services.worker.modelcache.progress import Progress


class CacheReport(msgspec.Struct, frozen=True, kw_only=True):
    """Where the model is, whether it is whole, and how it got there.

    `needed` says whether the engine has asked for a model; `offline`, whether nothing will be fetched: because the
    model is whole, or because nothing may be. `source` is a sentence on how the model got there.
    """

    cache_root: str
    model: str
    revision: str
    commit: str | None
    present: bool
    complete: bool
    size_bytes: int
    missing: tuple[str, ...]
    offline: bool
    needed: bool
    source: str | None
    progress: Progress | None
    detail: str
