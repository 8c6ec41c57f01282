"""Which engine a name stands for. Engines are imported only when they are chosen: each has packages of its own."""

import importlib
import importlib.util
import os
import shutil

from services.worker.engines.engine import EngineUnavailable, OcrEngine
from services.worker.engines.parts import EngineParts
from services.worker.engines.settings import EngineSettings

ENGINE_NAMES = ("auto", "rapidocr", "tesseract", "openai")


BARE = EngineParts(settings=EngineSettings())
"""Default settings, and nothing lent."""


def create_engine(name: str, parts: EngineParts = BARE) -> OcrEngine:
    """The engine called `name`, not yet loaded.

    Raises `EngineUnavailable` for an unknown name or where the engine's packages are missing.
    """
    cores = parts.settings.ocr_threads or _cores()
    match name:
        case "auto" | "rapidocr":
            return _rapidocr(cores)
        case "tesseract":
            return _tesseract(parts.settings.ocr_languages)
        case "openai":
            return _openai(parts)
    if ":" in name:
        return _plugged(name, cores)
    raise EngineUnavailable(f"There is no engine {name!r}; set OCR_ENGINE to one of: {', '.join(ENGINE_NAMES)}.")


def _plugged(name: str, threads: int) -> OcrEngine:
    """An engine of the operator's own: `module:factory`, called with the number of threads."""
    module, _, attribute = name.partition(":")
    try:
        factory = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise EngineUnavailable(f"OCR_ENGINE={name!r} cannot be imported: {error}.") from error
    engine: OcrEngine = factory(threads=threads)
    return engine


def available(settings: EngineSettings = BARE.settings) -> tuple[str, ...]:
    """The names that can be chosen here: packages and programs are installed, and what is needed is set."""
    found = {
        "rapidocr": importlib.util.find_spec("rapidocr") is not None,
        "tesseract": shutil.which("tesseract") is not None,
        "openai": bool(settings.openai.openai_base_url),
    }
    return ("auto", *(name for name, here in found.items() if here))


def _rapidocr(threads: int) -> OcrEngine:
    # ONNX Runtime's wheel reports to its maker from its import on, unless told not to before it.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        from services.worker.engines.cpu import CpuEngine
        from services.worker.engines.rapid import RapidReader
    except ModuleNotFoundError as error:
        raise EngineUnavailable(
            f"The engine rapidocr needs the package {error.name}; install the extra: pip install 'gnosis-ocr[cpu]'."
        ) from error
    return CpuEngine(RapidReader(threads))


def _tesseract(languages: str) -> OcrEngine:
    try:
        from services.worker.engines.cpu import CpuEngine
        from services.worker.engines.tesseract import TesseractReader
    except ModuleNotFoundError as error:
        raise EngineUnavailable(
            f"The engine tesseract needs the package {error.name}; install the extra: pip install 'gnosis-ocr[worker]'."
        ) from error
    return CpuEngine(TesseractReader(languages))


def _openai(parts: EngineParts) -> OcrEngine:
    from services.worker.engines.guard import GuardedEngine
    from services.worker.engines.openai import OpenAiTranscriber

    return GuardedEngine(OpenAiTranscriber(parts.settings), parts.settings, parts.fallback)


def _cores() -> int:
    """Cores that this process may run on; a container's limit counts, the host's size does not."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
