"""The thread that owns the model: pages come in from the event loop, and go out as they end."""

import asyncio
import queue
import threading
from typing import NamedTuple

import torch

from services.worker.engines.engine import EngineLost
from services.worker.engines.picture import Pixels
from services.worker.engines.qwen.decoder import Decoder, Writing
from services.worker.engines.transcriber import Sampling, Untranscribable


class _Order(NamedTuple):
    page: Pixels
    sampling: Sampling
    result: "asyncio.Future[Writing]"
    loop: asyncio.AbstractEventLoop


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

    async def write(self, page: Pixels, sampling: Sampling) -> Writing:
        """The page written to its end. Cancelled, its slot is free at the decoder's next look."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[Writing] = loop.create_future()
        self._orders.put(_Order(page, sampling, result, loop))
        return await result

    def _work(self) -> None:
        while True:
            self._admit()
            for writing, order in self._waiting.items():
                writing.given_up = order.result.cancelled()
            try:
                ended = self._decoder.advance()
            except Exception as error:
                self._fail(error)
                continue
            for writing in ended:
                _deliver(self._waiting.pop(writing), writing)

    def _admit(self) -> None:
        """Fill the free slots; wait for a page where there is none in hand."""
        while self._decoder.free and self._fault is None:
            try:
                order = self._orders.get(block=not self._waiting)
            except queue.Empty:
                return
            if order.result.cancelled():
                continue
            try:
                self._waiting[self._decoder.admit(order.page, order.sampling)] = order
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                _deliver(order, Untranscribable("The page needs more memory than the GPU has. Lower MODEL_MAX_PIXELS."))
            except Exception as error:
                self._fail(error)
                _deliver(order, self._lost())
        while self._fault is not None:
            _deliver(self._orders.get(), self._lost())

    def _fail(self, error: Exception) -> None:
        self._fault = error
        for order in self._waiting.values():
            _deliver(order, self._lost())
        self._waiting.clear()

    def _lost(self) -> EngineLost:
        lost = EngineLost("The model broke down.")
        lost.__cause__ = self._fault
        return lost


def _deliver(order: _Order, outcome: Writing | Exception) -> None:
    def settle() -> None:
        # Cancelled meanwhile: nobody waits.
        if order.result.done():
            return
        if isinstance(outcome, Exception):
            order.result.set_exception(outcome)
        else:
            order.result.set_result(outcome)

    # The loop is closed where the process ends while a page is written.
    if not order.loop.is_closed():
        order.loop.call_soon_threadsafe(settle)
