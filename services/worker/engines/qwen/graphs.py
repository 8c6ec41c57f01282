"""Steps as CUDA graphs: hundreds of small kernels that the GPU starts by itself, without waiting for Python."""

from collections.abc import Callable
from typing import Any

import structlog
import torch

from services.worker.engines.execution import reason_of

log = structlog.get_logger()

SIZES = (1, 2, 4, 8, 16, 24, 32, 40, 48, 56, 64, 96, 128, 192, 256)
_WARM_UPS = 2


class Steps:
    """Runs `step(batch)`, which changes tensors in place: as it is, or captured once for each of a few batch sizes.

    Where it cannot be captured, it runs as it is.
    """

    def __init__(self, step: Callable[[int], None], *, slots: int, capture: bool) -> None:
        self._step = step
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        #: Why a step that may be captured is not; None otherwise.
        self.fallback: str | None = None
        if not capture:
            return
        try:
            self._capture(slots)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            # Pages are then written several times slower, and still faster than without the GPU.
            self._graphs.clear()
            self.fallback = f"no CUDA graphs: {reason_of(error)}"
            log.warning("steps_not_captured", reason=self.fallback)

    @property
    def graphs(self) -> int:
        """The number of batch sizes that are captured."""
        return len(self._graphs)

    def run(self, batch: int) -> None:
        """One step of the first `batch` slots, or of more."""
        if not self._graphs:
            self._step(batch)
            return
        self._graphs[min(size for size in self._graphs if size >= batch)].replay()

    def _capture(self, slots: int) -> None:
        pool = None
        # The largest first: the smaller ones then fit into its memory.
        for batch in sorted({min(size, slots) for size in SIZES} | {slots}, reverse=True):
            graph = self._graphs[batch] = _captured(self._step, batch, pool)
            pool = pool or graph.pool()


@torch.inference_mode()
def _captured(step: Callable[[int], None], batch: int, pool: Any) -> torch.cuda.CUDAGraph:
    # Libraries make their workspaces at the first call, which must not be captured.
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(_WARM_UPS):
            step(batch)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    # Other threads of the process may ask the driver for something meanwhile: that is no fault of the capture.
    with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
        step(batch)
    return graph
