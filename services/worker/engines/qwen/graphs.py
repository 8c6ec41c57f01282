"""Decoding steps as CUDA graphs: the GPU starts hundreds of small kernels by itself, without waiting for Python."""

from collections.abc import Callable
from typing import Any

import structlog
import torch

from services.worker.engines.execution import reason_of

log = structlog.get_logger()

#: Batch sizes that are captured, besides the number of slots. Chosen: a batch between two is computed as the larger, so
#: few sizes waste work, and many take time at start and memory.
CAPTURE_SIZES = (1, 2, 4, 8, 16, 24, 32, 40, 48, 56, 64, 96, 128, 192, 256)
# Runs before a capture, in which libraries make their workspaces: these must not be made while a graph is captured.
_WARM_UP_RUNS = 2


class StepRunner:
    """Runs `step(batch)`, which changes tensors in place: as a CUDA graph for each batch size, or without any.

    A step that cannot be captured runs without.
    """

    def __init__(self, step: Callable[[int], None], *, slots: int, capture: bool) -> None:
        self._step = step
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        #: Why a step that should be captured is not; None otherwise.
        self.fallback: str | None = None
        if not capture:
            return
        try:
            self._capture(slots)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            # Not fatal: pages are written several times slower, and still faster than on a CPU.
            self._graphs.clear()
            self.fallback = f"no CUDA graphs: {reason_of(error)}"
            log.warning("steps_not_captured", reason=self.fallback)

    @property
    def graphs(self) -> int:
        """The number of batch sizes that are captured."""
        return len(self._graphs)

    def run(self, batch: int) -> None:
        """One step of the first `batch` slots, or of as many as the next larger graph has."""
        if not self._graphs:
            self._step(batch)
            return
        self._graphs[min(size for size in self._graphs if size >= batch)].replay()

    def _capture(self, slots: int) -> None:
        pool = None
        # The largest first, since the smaller ones then fit into its memory pool.
        for batch in sorted({min(size, slots) for size in CAPTURE_SIZES} | {slots}, reverse=True):
            graph = self._graphs[batch] = _capture_graph(self._step, batch, pool)
            pool = pool or graph.pool()


@torch.inference_mode()
def _capture_graph(step: Callable[[int], None], batch: int, pool: Any) -> torch.cuda.CUDAGraph:
    # On a side stream, as the documentation of torch's CUDA graphs has it.
    warm_up = torch.cuda.Stream()
    warm_up.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(warm_up):
        for _ in range(_WARM_UP_RUNS):
            step(batch)
    torch.cuda.current_stream().wait_stream(warm_up)
    graph = torch.cuda.CUDAGraph()
    # "thread_local": calls of other threads to the driver meanwhile do not fail the capture.
    with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
        step(batch)
    return graph
