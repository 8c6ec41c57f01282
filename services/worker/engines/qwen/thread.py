"""The thread that owns the model: pages come in from the event loop, and go out as they end."""

import asyncio
import queue
import threading
import time
from collections.abc import Callable

import torch

from services.worker.engines.engine import EngineLost, unheard
from services.worker.engines.picture import Pixels
from services.worker.engines.qwen.decoder import Decoder, Writing
from services.worker.engines.transcriber import Sampling, Untranscribable

BEAT_SECONDS = 1.0
"""Between two signs of life of a page: enough for whoever watches, and no burden on the event loop."""


class _Order:
    """A page to be written, as both threads know it."""

    def __init__(self, page: Pixels, sampling: Sampling, alive: Callable[[], None]) -> None:
        self.page = page
        self.sampling = sampling
        self.given_up = False
        self.loop = asyncio.get_running_loop()
        self.result: asyncio.Future[Writing] = self.loop.create_future()
        self._alive = alive
        self._writing: Writing | None = None
        self._beaten = time.monotonic()

    def begin(self, writing: Writing) -> None:
        """It has a slot."""
        self._writing = writing
        writing.beat = self._beat
        writing.given_up = self.given_up

    def give_up(self) -> None:
        """Nobody waits for it any more."""
        self.given_up = True
        if self._writing is not None:
            self._writing.given_up = True

    def deliver(self, outcome: Writing | Exception) -> None:
        """It has ended."""
        self._tell(lambda: self._settle(outcome))

    def _settle(self, outcome: Writing | Exception) -> None:
        if self.result.done():
            return
        if isinstance(outcome, Exception):
            self.result.set_exception(outcome)
        else:
            self.result.set_result(outcome)

    def _beat(self) -> None:
        now = time.monotonic()
        if now - self._beaten >= BEAT_SECONDS:
            self._beaten = now
            self._tell(self._alive)

    def _tell(self, word: Callable[[], None]) -> None:
        # The loop is closed where the process ends while a page is written.
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(word)


class DecoderThread:
    """Runs a decoder in a daemon thread, which does not hold up the end of the process.

    A page whose prompt finds no memory is refused alone. Any other fault of the decoder leaves nobody knows what
    behind, on a GPU not even a working process: every page then ends with `EngineLost`, also those to come.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._orders: queue.SimpleQueue[_Order] = queue.SimpleQueue()
        self._waiting: dict[Writing, _Order] = {}
        self._fault: Exception | None = None
        threading.Thread(target=self._work, name="page-writer", daemon=True).start()

    async def write(self, page: Pixels, sampling: Sampling, alive: Callable[[], None] = unheard) -> Writing:
        """The page written to its end. Cancelled, its slot is free at the decoder's next look."""
        order = _Order(page, sampling, alive)
        self._orders.put(order)
        try:
            return await order.result
        finally:
            order.give_up()

    def _work(self) -> None:
        while True:
            self._admit()
            try:
                ended = self._decoder.advance()
            except Exception as error:
                self._fail(error)
                continue
            for writing in ended:
                self._waiting.pop(writing).deliver(writing)

    def _admit(self) -> None:
        """Fill the free slots; wait for a page where there is none in hand."""
        while self._decoder.free and self._fault is None:
            try:
                order = self._orders.get(block=not self._waiting)
            except queue.Empty:
                return
            if order.given_up:
                continue
            try:
                writing = self._decoder.admit(order.page, order.sampling)
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                order.deliver(Untranscribable("The page needs more memory than the GPU has. Lower MODEL_MAX_PIXELS."))
            except Exception as error:
                self._fail(error)
                order.deliver(self._lost())
            else:
                self._waiting[writing] = order
                order.begin(writing)
        while self._fault is not None:
            self._orders.get().deliver(self._lost())

    def _fail(self, error: Exception) -> None:
        self._fault = error
        for order in self._waiting.values():
            order.deliver(self._lost())
        self._waiting.clear()

    def _lost(self) -> EngineLost:
        lost = EngineLost("The model broke down.")
        lost.__cause__ = self._fault
        return lost
