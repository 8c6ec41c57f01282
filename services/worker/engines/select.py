"""Creates an engine by its name. An engine is imported only when it is chosen: each needs packages of its own."""

import importlib
import importlib.util
import inspect
import os
import shutil
from pathlib import Path

from services.worker.engines.context import EngineContext
from services.worker.engines.engine import EngineUnavailable, OcrEngine
from services.worker.engines.layer.engine import NoLayers, PageByLayer
from services.worker.engines.lines.languages import readable_codes, tesseract_codes
from services.worker.engines.settings import EngineSettings

ENGINE_NAMES = ("auto", "nanonets", "rapidocr", "tesseract", "openai")
#: Engines that need the model of the cache.
MODEL_ENGINES = ("nanonets",)
# Files of GPU drivers (NVIDIA's, WSL 2): a look at them costs nothing, to import torch costs seconds.
_DRIVERS = (Path("/proc/driver/nvidia/version"), Path("/dev/nvidiactl"), Path("/dev/dxg"))

#: Default settings, no model, no fallback.
BARE = EngineContext(settings=EngineSettings())


def create_engine(name: str, context: EngineContext = BARE) -> OcrEngine:
    """The engine called `name`, not yet loaded.

    Raises `EngineUnavailable` for an unknown name or where the engine's packages are missing.
    """
    threads = context.settings.ocr_threads or _cores()
    match name:
        case "auto":
            return create_engine(resolved(name, context), context)
        case "nanonets":
            return _nanonets(context)
        case "rapidocr":
            return _rapidocr(threads, context.settings)
        case "tesseract":
            return _tesseract(context.settings.ocr_languages)
        case "openai":
            return _openai(context)
    if ":" in name:
        return _plugged(name, threads, context)
    raise EngineUnavailable(f"There is no engine {name!r}; set OCR_ENGINE to one of: {', '.join(ENGINE_NAMES)}.")


def resolved(name: str, context: EngineContext = BARE) -> str:
    """The name of the engine that `name` stands for here; only `auto` stands for another."""
    if name != "auto":
        return name
    return "nanonets" if _suits_model(context) else "rapidocr"


def _plugged(name: str, threads: int, context: EngineContext) -> OcrEngine:
    """An engine of the operator's own: `module:factory`, called with `threads`, and with `context` if it takes that."""
    module, _, attribute = name.partition(":")
    try:
        factory = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise EngineUnavailable(f"OCR_ENGINE={name!r} cannot be imported: {error}.") from error
    optional = {"context": context} if "context" in inspect.signature(factory).parameters else {}
    engine: OcrEngine = factory(threads=threads, **optional)
    return engine


def available(context: EngineContext = BARE) -> tuple[str, ...]:
    """The names that can be chosen here: packages and programs are installed, and what they need is set or stored here.

    An engine whose model is not on this machine is left out: a job that names it would start a download of gigabytes.
    """
    found = {
        "nanonets": context.has_model() and _has_model_packages(),
        "rapidocr": importlib.util.find_spec("rapidocr") is not None,
        "tesseract": shutil.which("tesseract") is not None,
        "openai": bool(context.settings.openai.openai_base_url),
    }
    return ("auto", *(name for name, here in found.items() if here))


def languages(context: EngineContext = BARE) -> dict[str, tuple[str, ...]]:
    """The languages that can be read here, by the engines that have lists of them; a model reads what it knows."""
    names = set(available(context))
    found = {}
    if "rapidocr" in names:
        found["rapidocr"] = readable_codes(context.settings.ocr_languages)
    if "tesseract" in names:
        found["tesseract"] = tesseract_codes()
    return found


def _suits_model(context: EngineContext) -> bool:
    """Whether the model is the best engine here: on a GPU, when its files are on this machine already."""
    if not (any(driver.exists() for driver in _DRIVERS) and _has_model_packages() and context.has_model()):
        return False
    import torch

    return torch.cuda.is_available()


def _has_model_packages() -> bool:
    return all(importlib.util.find_spec(package) is not None for package in ("torch", "transformers", "accelerate"))


def _nanonets(context: EngineContext) -> OcrEngine:
    try:
        from services.worker.engines.guard.guarded import GuardedEngine
        from services.worker.engines.nanonets import ModelTranscriber
    except ModuleNotFoundError as error:
        raise EngineUnavailable(
            f"The engine nanonets needs the package {error.name}; install the extra: pip install 'gnosis-ocr[gpu]'."
        ) from error
    return GuardedEngine(ModelTranscriber(context), context.settings, context.fallback)


def create_layer_reader(context: EngineContext) -> PageByLayer:
    """What reads pages by their own text; it checks it with RapidOCR's recognition."""
    _silence_telemetry()
    try:
        from services.worker.engines.layer.reader import LayerReader
    except ModuleNotFoundError as error:
        return NoLayers(
            f"Reading the text of the document itself needs the package {error.name}; "
            "install the extra: pip install 'gnosis-ocr[cpu]', or upload it with ocr=force."
        )
    return LayerReader(context.settings.ocr_threads or _cores())


def _silence_telemetry() -> None:
    """The wheel of ONNX Runtime sends telemetry from its import on, unless this is set before."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def _rapidocr(threads: int, settings: EngineSettings) -> OcrEngine:
    _silence_telemetry()
    try:
        from services.worker.engines.cpu import CpuEngine
        from services.worker.engines.lines.rapid import RapidReader
    except ModuleNotFoundError as error:
        raise EngineUnavailable(
            f"The engine rapidocr needs the package {error.name}; install the extra: pip install 'gnosis-ocr[cpu]'."
        ) from error
    return CpuEngine(RapidReader(threads, languages=settings.ocr_languages, models=settings.ocr_model_folder))


def _tesseract(languages: str) -> OcrEngine:
    try:
        from services.worker.engines.cpu import CpuEngine
        from services.worker.engines.lines.tesseract import TesseractReader
    except ModuleNotFoundError as error:
        raise EngineUnavailable(
            f"The engine tesseract needs the package {error.name}; install the extra: pip install 'gnosis-ocr[worker]'."
        ) from error
    return CpuEngine(TesseractReader(languages))


def _openai(context: EngineContext) -> OcrEngine:
    from services.worker.engines.guard.guarded import GuardedEngine
    from services.worker.engines.openai import OpenAiTranscriber

    return GuardedEngine(OpenAiTranscriber(context.settings), context.settings, context.fallback)


def _cores() -> int:
    """Cores that this process may run on: those of its CPU affinity, not all of the host."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
