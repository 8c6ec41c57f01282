"""How long a target asks to be left alone."""

from email.utils import parsedate_to_datetime

# A longer wish is not granted: a target's mistake must not stop a queue for a day.
_LONGEST_RETRY_AFTER = 3600.0


def retry_after_seconds(value: str, epoch: float) -> float | None:
    """Seconds that a `Retry-After` header asks for (number or HTTP date), an hour at most; None if it is neither."""
    try:
        seconds = float(value) if value.strip().isdecimal() else parsedate_to_datetime(value).timestamp() - epoch
    except ValueError:
        return None
    return min(max(0.0, seconds), _LONGEST_RETRY_AFTER)
