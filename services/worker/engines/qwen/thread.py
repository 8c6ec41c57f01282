"""The thread that owns the model: pages come from the event loop, and their results go back to it."""

import asyncio
import queue
import threading
import time
from collections.abc import Callable

import structlog
import torch

from services.worker.engines.engine import EngineLost, unheard
from services.worker.engines.execution import reason_of
from services.worker.engines.picture import Pixels
from services.worker.engines.qwen.decoder import Decoder, Generation
from services.worker.engines.transcriber import Sampling, Untranscribable

log = structlog.get_logger()

#: Pages whose prompts are read between two calls of `advance`. Each makes the pages that are being written wait, by
#: estimate for a tenth of a second on an H100. Chosen: slots that are free together are filled within a few calls.
PREFILLS = 4
#: Seconds between two calls of a page's `alive`. Chosen: far below any sensible PAGE_SECONDS, and no load on the loop.
HEARTBEAT_SECONDS = 1.0


class _PageRequest:
    """A page to be written. Its methods say which thread calls them."""

    def __init__(self, page: Pixels, sampling: Sampling, alive: Callable[[], None]) -> None:
        self.page = page
        self.sampling = sampling
        self.cancelled = False
        self.loop = asyncio.get_running_loop()
        self.result: asyncio.Future[Generation] = self.loop.create_future()
        self._alive = alive
        self._generation: Generation | None = None
        self._last_heartbeat = time.monotonic()

    def begin(self, generation: Generation) -> None:
        """Model's thread: the page has a slot."""
        self._generation = generation
        generation.on_progress = self._heartbeat
        generation.cancelled = self.cancelled

    def cancel(self) -> None:
        """Event loop: no caller waits for the page any more."""
        self.cancelled = True
        if self._generation is not None:
            self._generation.cancelled = True

    def deliver(self, outcome: Generation | Exception) -> None:
        """Model's thread: the page has ended."""
        self._call_in_loop(lambda: self._settle(outcome))

    def _settle(self, outcome: Generation | Exception) -> None:
        if self.result.done():
            return
        if isinstance(outcome, Exception):
            self.result.set_exception(outcome)
        else:
            self.result.set_result(outcome)

    def _heartbeat(self) -> None:
        now = time.monotonic()
        if now - self._last_heartbeat >= HEARTBEAT_SECONDS:
            self._last_heartbeat = now
            self._call_in_loop(self._alive)

    def _call_in_loop(self, function: Callable[[], None]) -> None:
        # The loop is closed where the process ends while a page is written.
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(function)


class DecoderThread:
    """Runs a decoder in a daemon thread, which does not delay the end of the process.

    A page whose prefill finds no memory is tried once more, then refused alone. After any other fault the decoder's
    state is unknown, and on a GPU the process seldom works at all: every page then ends with `EngineLost`, also those
    to come.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._requests: queue.SimpleQueue[_PageRequest] = queue.SimpleQueue()
        self._in_decoder: dict[Generation, _PageRequest] = {}
        self._fault: Exception | None = None
        threading.Thread(target=self._work, name="page-writer", daemon=True).start()

    async def write(self, page: Pixels, sampling: Sampling, alive: Callable[[], None] = unheard) -> Generation:
        """The page, written to its end. Cancelled, it frees its slot after the decoder's next `advance`."""
        request = _PageRequest(page, sampling, alive)
        self._requests.put(request)
        try:
            return await request.result
        finally:
            request.cancel()

    def _work(self) -> None:
        while True:
            self._admit()
            try:
                ended = self._decoder.advance()
            except Exception as error:
                self._fail(error)
                continue
            for generation in ended:
                self._in_decoder.pop(generation).deliver(generation)

    def _admit(self) -> None:
        """Fill free slots, `PREFILLS` of them at most; where the decoder has no page, wait for one."""
        admitted = 0
        while self._decoder.free_slots and self._fault is None and admitted < PREFILLS:
            try:
                request = self._requests.get(block=not self._in_decoder)
            except queue.Empty:
                return
            if request.cancelled:
                continue
            admitted += 1
            try:
                generation = self._prefill(request)
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                request.deliver(Untranscribable("The page needs more memory than the GPU has. Lower MODEL_MAX_PIXELS."))
            except Exception as error:
                self._fail(error)
                request.deliver(self._lost())
            else:
                self._in_decoder[generation] = request
                request.begin(generation)
        while self._fault is not None:
            self._requests.get().deliver(self._lost())

    def _prefill(self, request: _PageRequest) -> Generation:
        """Admit the page; where memory is short, once more without what the allocator keeps for itself.

        Pages of other sizes leave fragments there, and another process may have had the memory for a moment.
        """
        try:
            return self._decoder.admit(request.page, request.sampling)
        except torch.OutOfMemoryError as error:
            log.warning("prefill_out_of_memory", reason=reason_of(error))
        torch.cuda.empty_cache()
        return self._decoder.admit(request.page, request.sampling)

    def _fail(self, error: Exception) -> None:
        self._fault = error
        for request in self._in_decoder.values():
            request.deliver(self._lost())
        self._in_decoder.clear()

    def _lost(self) -> EngineLost:
        lost = EngineLost("The model broke down.")
        lost.__cause__ = self._fault
        return lost
