"""Which engine a name stands for. Engines are imported only when they are chosen: each has packages of its own."""

import importlib
import importlib.util
import inspect
import os
import shutil
from pathlib import Path

from services.worker.engines.context import EngineParts
from services.worker.engines.engine import EngineUnavailable, OcrEngine
from services.worker.engines.settings import EngineSettings

ENGINE_NAMES = ("auto", "nanonets", "rapidocr", "tesseract", "openai")
MODEL_ENGINES = ("nanonets",)
"""Those that cannot be without the model of the cache."""
# What a driver leaves where there is a GPU: to look costs nothing, to import torch costs seconds.
_DRIVERS = (Path("/proc/driver/nvidia/version"), Path("/dev/nvidiactl"), Path("/dev/dxg"))

BARE = EngineParts(settings=EngineSettings())
"""Default settings, and nothing lent."""


def create_engine(name: str, parts: EngineParts = BARE) -> OcrEngine:
    """The engine called `name`, not yet loaded.

    Raises `EngineUnavailable` for an unknown name or where the engine's packages are missing.
    """
    cores = parts.settings.ocr_threads or _cores()
    match name:
        case "auto":
            return _nanonets(parts) if _suits_model(parts) else _rapidocr(cores)
        case "nanonets":
            return _nanonets(parts)
        case "rapidocr":
            return _rapidocr(cores)
        case "tesseract":
            return _tesseract(parts.settings.ocr_languages)
        case "openai":
            return _openai(parts)
    if ":" in name:
        return _plugged(name, cores, parts)
    raise EngineUnavailable(f"There is no engine {name!r}; set OCR_ENGINE to one of: {', '.join(ENGINE_NAMES)}.")


def _plugged(name: str, threads: int, parts: EngineParts) -> OcrEngine:
    """An engine of the operator's own: `module:factory`, called with `threads`, and with `parts` if it takes them."""
    module, _, attribute = name.partition(":")
    try:
        factory = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise EngineUnavailable(f"OCR_ENGINE={name!r} cannot be imported: {error}.") from error
    lent = {"parts": parts} if "parts" in inspect.signature(factory).parameters else {}
    engine: OcrEngine = factory(threads=threads, **lent)
    return engine


def available(parts: EngineParts = BARE) -> tuple[str, ...]:
    """The names that can be chosen here: packages and programs are installed, what is needed is set or on the machine.

    That a job may name an engine must not make anybody's words fetch gigabytes.
    """
    found = {
        "nanonets": parts.has_model() and _has_model_packages(),
        "rapidocr": importlib.util.find_spec("rapidocr") is not None,
        "tesseract": shutil.which("tesseract") is not None,
        "openai": bool(parts.settings.openai.openai_base_url),
    }
    return ("auto", *(name for name, here in found.items() if here))


def _suits_model(parts: EngineParts) -> bool:
    """Whether the model is the best engine here: on a GPU, when it is on this machine already."""
    if not (any(driver.exists() for driver in _DRIVERS) and _has_model_packages() and parts.has_model()):
        return False
    import torch

    return torch.cuda.is_available()


def _has_model_packages() -> bool:
    return all(importlib.util.find_spec(package) is not None for package in ("torch", "transformers", "accelerate"))


def _nanonets(parts: EngineParts) -> OcrEngine:
    try:
        from services.worker.engines.guard.guarded import GuardedEngine
        from services.worker.engines.nanonets import ModelTranscriber
    except ModuleNotFoundError as error:
        raise EngineUnavailable(
            f"The engine nanonets needs the package {error.name}; install the extra: pip install 'gnosis-ocr[gpu]'."
        ) from error
    return GuardedEngine(ModelTranscriber(parts), parts.settings, parts.fallback)


def _rapidocr(threads: int) -> OcrEngine:
    # ONNX Runtime's wheel reports to its maker from its import on, unless told not to before it.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        from services.worker.engines.cpu import CpuEngine
        from services.worker.engines.lines.rapid import RapidReader
    except ModuleNotFoundError as error:
        raise EngineUnavailable(
            f"The engine rapidocr needs the package {error.name}; install the extra: pip install 'gnosis-ocr[cpu]'."
        ) from error
    return CpuEngine(RapidReader(threads))


def _tesseract(languages: str) -> OcrEngine:
    try:
        from services.worker.engines.cpu import CpuEngine
        from services.worker.engines.lines.tesseract import TesseractReader
    except ModuleNotFoundError as error:
        raise EngineUnavailable(
            f"The engine tesseract needs the package {error.name}; install the extra: pip install 'gnosis-ocr[worker]'."
        ) from error
    return CpuEngine(TesseractReader(languages))


def _openai(parts: EngineParts) -> OcrEngine:
    from services.worker.engines.guard.guarded import GuardedEngine
    from services.worker.engines.openai import OpenAiTranscriber

    return GuardedEngine(OpenAiTranscriber(parts.settings), parts.settings, parts.fallback)


def _cores() -> int:
    """Cores that this process may run on; a container's limit counts, the host's size does not."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
