"""The device that the bench runs on: its clock, its memory, and what it can do at most."""

import gc
import resource
import time
from collections.abc import Callable

import torch

from services.worker.engines.qwen.device import choose_device, choose_dtype, describe


class Machine:
    """The GPU, or the CPU where there is none."""

    def __init__(self) -> None:
        self.device = choose_device()
        self.dtype = choose_dtype(self.device)

    @property
    def name(self) -> str:
        """What the device is called."""
        return describe(self.device)

    def seconds(self, work: Callable[[], object], times: int = 1) -> float:
        """How long one call of `work` takes, the device's work included."""
        self.wait()
        began = time.perf_counter()
        for _ in range(times):
            work()
        self.wait()
        return (time.perf_counter() - began) / times

    def wait(self) -> None:
        """Until the device has done all that was queued."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def clear(self) -> None:
        """Give the device back what is held but not in use."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def peak_bytes(self) -> int:
        """The most memory that was taken at once since the start: of the GPU, or of the process."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def bandwidth(self) -> float:
        """Bytes a second that a copy reads and writes."""
        size = (1 << 30) if self.device.type == "cuda" else (1 << 26)
        source = torch.zeros(size, dtype=torch.uint8, device=self.device)
        target = torch.empty_like(source)
        target.copy_(source)
        return 2 * size / self.seconds(lambda: target.copy_(source), 20)

    def matrix_rate(self) -> float:
        """Floating point operations a second of a large matrix product."""
        side = 8192 if self.device.type == "cuda" else 512
        a = torch.randn(side, side, device=self.device, dtype=self.dtype)
        b = torch.randn(side, side, device=self.device, dtype=self.dtype)
        torch.matmul(a, b)
        return 2 * side**3 / self.seconds(lambda: torch.matmul(a, b), 10)
