"""The `rapidocr` wheel, which holds the models of its engine."""

import importlib.util
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from services.worker.engines.engine import EngineUnavailable

DETECTION_MODEL = "PP-OCRv6_det_small.onnx"
RECOGNITION_MODEL = "PP-OCRv6_rec_small.onnx"


def release() -> str:
    """The version of the wheel; "absent" where it is not installed."""
    try:
        return version("rapidocr")
    except PackageNotFoundError:
        return "absent"


def model_directory() -> Path:
    """The folder of the models in the wheel. Raises `EngineUnavailable` with a remedy."""
    remedy = "install the extra: pip install 'gnosis-ocr[cpu]'"
    for package in ("rapidocr", "onnxruntime", "cv2"):
        if importlib.util.find_spec(package) is None:
            raise EngineUnavailable(f"The engine rapidocr needs the package {package}; {remedy}.")
    spec = importlib.util.find_spec("rapidocr")
    folders = (spec.submodule_search_locations if spec else None) or []
    for folder in folders:
        models = Path(folder) / "models"
        if (models / DETECTION_MODEL).is_file() and (models / RECOGNITION_MODEL).is_file():
            return models
    raise EngineUnavailable(f"The models of rapidocr 3.10 are missing from its wheel; {remedy} again.")
