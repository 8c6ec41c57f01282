"""A meter of the model's cache that a test can read."""


class CountingMeter:
    """Keeps what the cache counts: a `Meter`."""

    def __init__(self) -> None:
        #: For each request for the model, whether it was in the cache.
        self.hits: list[bool] = []
        #: The `Transfer` of each model that came.
        self.ways: list[str] = []

    def model_asked(self, *, cached: bool) -> None:
        """See `Meter`."""
        self.hits.append(cached)

    def model_brought(self, way: str, *, seconds: float, size_bytes: int) -> None:
        """See `Meter`."""
        self.ways.append(way)
