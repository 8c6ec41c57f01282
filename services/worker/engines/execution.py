"""How an engine computes, and why not in the fastest way where it does not."""

# The first line of a CUDA error says what is wrong; those after it are advice.
_REASON_CHARACTERS = 300


def reason_of(error: BaseException) -> str:
    """The type of `error` and the first line of its message, at most 300 characters of it."""
    first = (str(error).splitlines() or [""])[0][:_REASON_CHARACTERS]
    return f"{type(error).__name__}: {first}"
