"""A body may take its time, but not for ever: it has a longest time, and a lowest rate over a while."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest
from starlette.requests import Request
from starlette.types import Message

from services.serving.body import MAX_BYTES, ArrivingBody, Pace, TooSlow, read_body
from services.serving.problem import Problem

PACE = Pace(total_seconds=3600.0, stall_seconds=60.0, bytes_per_second=1000.0)
LetTimePass = Callable[[float], None]


class Client:
    """Sends pieces, each so many seconds after the one before; then nothing more."""

    def __init__(self, let_time_pass: LetTimePass, *pieces: tuple[float, bytes]) -> None:
        self._let_time_pass = let_time_pass
        self._pieces = pieces

    async def stream(self) -> AsyncIterator[bytes]:
        for seconds, piece in self._pieces:
            passing = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(self._pass, seconds, passing)
            await passing
            yield piece

    def _pass(self, seconds: float, passing: asyncio.Future[None]) -> None:
        self._let_time_pass(seconds)
        # After the timeouts that have come meanwhile.
        asyncio.get_running_loop().call_later(0.0, _end, passing)


def _end(passing: asyncio.Future[None]) -> None:
    if not passing.done():
        passing.set_result(None)


async def received(client: Client, pace: Pace = PACE) -> int:
    """The bytes that arrived in time. Raises `TooSlow`."""
    body, size = ArrivingBody(cast(Any, client), pace), 0
    while (piece := await body.next()) is not None:
        size += len(piece)
    return size


async def test_a_slow_but_honest_line_may_take_an_hour(let_time_pass: LetTimePass) -> None:
    # 1,500 bytes a second, and pauses of nearly the time in which nothing need arrive.
    pieces = [(10.0, b"x" * 15_000)] * 40 + [(55.0, b"x" * 90_000)] * 20
    assert await received(Client(let_time_pass, *pieces)) == 40 * 15_000 + 20 * 90_000


async def test_a_byte_now_and_then_is_too_slow(let_time_pass: LetTimePass) -> None:
    with pytest.raises(TooSlow, match="Fewer than 1000 bytes a second arrived for 60 seconds"):
        await received(Client(let_time_pass, *[(20.0, b"x")] * 100))


async def test_silence_is_too_slow(let_time_pass: LetTimePass) -> None:
    with pytest.raises(TooSlow, match="Fewer than"):
        await received(Client(let_time_pass, (1.0, b"x" * 100_000), (61.0, b"x")))


async def test_a_body_that_never_ends_ends_at_the_longest_time(let_time_pass: LetTimePass) -> None:
    with pytest.raises(TooSlow, match="not complete after 3600 seconds"):
        await received(Client(let_time_pass, *[(50.0, b"x" * 100_000)] * 100))


async def test_time_in_which_the_service_itself_is_slow_does_not_count(let_time_pass: LetTimePass) -> None:
    body = ArrivingBody(cast(Any, Client(let_time_pass, *[(1.0, b"x" * 2000)] * 10)), PACE)
    size = 0
    while (piece := await body.next()) is not None:
        size += len(piece)
        let_time_pass(100.0)  # a slow disk
    assert size == 20_000


def request(*pieces: bytes, length: str = "") -> Request:
    waiting: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]

    async def receive() -> Message:
        return waiting.pop(0) if waiting else {"type": "http.request", "body": b""}

    headers = [(b"content-length", length.encode())] if length else []
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


@pytest.mark.parametrize("length", ["", str(MAX_BYTES + 1)])
async def test_a_json_body_beyond_the_limit_is_refused_without_reading_on(length: str) -> None:
    asked = request(b"x" * MAX_BYTES, b"x", b"never read", length=length)
    with pytest.raises(Problem) as refused:
        await read_body(asked, hint="Send less.")
    assert (refused.value.status, refused.value.hint) == (413, "Send less.")
    assert (await asked.receive())["body"] == (b"x" * MAX_BYTES if length else b"never read")


@pytest.mark.parametrize("length", ["", "12", "9" * 5000, "none"])
async def test_a_json_body_is_read_whatever_length_is_announced(length: str) -> None:
    assert await read_body(request(b'{"a"', b": 123}", length=length), hint="") == b'{"a": 123}'
