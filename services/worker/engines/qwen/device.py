"""The device that the model runs on, and the memory that it has available."""

import os
from pathlib import Path

import structlog
import torch

log = structlog.get_logger()

# A container's memory limit in bytes, by cgroups version 2 and 1.
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def choose_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def disable_cudnn_attention() -> None:
    """Keep `scaled_dot_product_attention` from cuDNN, which torch prefers on an H100 or B200.

    cuDNN makes a plan for every new shape, in about half a second (as users report), and a page of a new size has six.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)


def choose_dtype(device: torch.device) -> torch.dtype:
    """The type of the weights: half precision on a GPU, single precision on a CPU."""
    return dtype_of(torch.cuda.get_device_capability(device) if device.type == "cuda" else None)


def dtype_of(capability: tuple[int, int] | None) -> torch.dtype:
    """The type for a GPU of this compute capability, or for a CPU (None).

    Older GPUs than Ampere (8.0), such as a T4 (7.5) or a V100 (7.0), compute with float16 and only emulate bfloat16.
    """
    if capability is None:
        return torch.float32
    return torch.bfloat16 if capability >= (8, 0) else torch.float16


def describe(device: torch.device) -> str:
    """The device's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def available_bytes(device: torch.device) -> int:
    """Memory that the model may take: on a GPU what is free, on a CPU all that the machine or the container has."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        # Hosts of one kind have drivers of different ages, and the driver decides which kernels run.
        log.info("gpu", name=describe(device), free_bytes=free, total_bytes=total, cuda=torch.version.cuda)
        return int(free)
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([installed, *filter(None, map(_read_limit, _CGROUP_LIMITS))])


def available_beside(weights: int, device: torch.device) -> int:
    """As `available_bytes`, where weights of so many bytes are on the device already and count as available.

    Memory that loading and rearranging the weights has fragmented is not counted.
    """
    if device.type != "cuda":
        return available_bytes(device)
    torch.cuda.empty_cache()
    return available_bytes(device) + weights


def _read_limit(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # another version of cgroups; or "max", which is no limit
        return None
