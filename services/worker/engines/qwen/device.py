"""What a model runs on here, and the memory that it has to give."""

import os
from pathlib import Path

import structlog
import torch

log = structlog.get_logger()

# The limit of a container, by cgroups version 2 and 1.
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def choose_device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def spare_plans() -> None:
    """Keep attention from cuDNN, which torch asks first on an H100 or B200.

    It makes a plan for every new shape, in about half a second, and a page of a new size comes with six of them.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)


def choose_dtype(device: torch.device) -> torch.dtype:
    """What numbers are kept as: half the bytes where a GPU computes with them, exact ones on a CPU."""
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def describe(device: torch.device) -> str:
    """What the device is called."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def available_bytes(device: torch.device) -> int:
    """Memory that a model may take: what is free on a GPU; on a CPU all that the machine or the container has."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        # Hosts of the same kind come with drivers of different ages, which decide what runs.
        log.info("gpu", name=describe(device), free_bytes=free, total_bytes=total, cuda=torch.version.cuda)
        return int(free)
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([installed, *filter(None, map(_limit, _LIMITS))])


def available_beside(weights: int, device: torch.device) -> int:
    """The same, where weights of so many bytes are on the device already.

    What loading and rearranging them has broken into pieces too small for anything else is no longer counted.
    """
    if device.type != "cuda":
        return available_bytes(device)
    torch.cuda.empty_cache()
    return available_bytes(device) + weights


def _limit(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # no such version of cgroups; or "max": no limit
        return None
