"""The JSON body of a request, bounded (design, section 9)."""

from starlette.requests import Request

from services.serving.problem import Problem

MAX_BYTES = 1_000_000


async def read_body(request: Request, *, hint: str) -> bytes:
    """The body; never more than `MAX_BYTES` of it are held. Raises a 413 `Problem` with `hint`."""
    body = b""
    async for chunk in request.stream():
        body += chunk[: MAX_BYTES + 1 - len(body)]
    if len(body) > MAX_BYTES:
        raise Problem(413, "Body too large", "The body of this request has at most 1 MB.", hint)
    return body
