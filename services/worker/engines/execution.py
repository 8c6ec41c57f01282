"""How an engine computes, and why not in the fastest way where it does not."""

import msgspec

# The first line of a CUDA error says what is wrong; those after it are advice.
_REASON_CHARACTERS = 300


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """The attention of a step, and how its kernels are launched. Fixed once the engine is loaded."""

    #: `flash`: torch's bundled FlashAttention; `sdpa`: `scaled_dot_product_attention`; `generate`: transformers' own.
    kernel: str
    #: The number of batch sizes for which a step is captured as a CUDA graph; 0 where every step is launched by Python.
    graphs: int = 0
    #: Why this is not the fast way of this device: type and message of the error, or what was wrong. None where it is.
    fallback: str | None = None


def reason_of(error: BaseException) -> str:
    """The type of `error` and the first line of its message, at most 300 characters of it."""
    first = (str(error).splitlines() or [""])[0][:_REASON_CHARACTERS]
    return f"{type(error).__name__}: {first}"
