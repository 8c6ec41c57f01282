"""The languages of `OCR_LANGUAGES`, by Tesseract's codes: their scripts, and the models that read them for RapidOCR.

The wheel of rapidocr 3.10 ships one recognition model (PP-OCRv6 small). Its alphabet has Latin, Greek, Chinese and
Japanese. Models for other scripts are published beside it and named in the wheel's `default_models.yaml`; the operator
puts them into a folder.
"""

import shutil
import subprocess
from collections.abc import Collection, Iterator
from pathlib import Path

from services.worker.engines.engine import EngineUnavailable

# Codes as https://tesseract-ocr.github.io/tessdoc/Data-Files-in-different-versions.html lists them, by script. Of the
# scripts that the model in the wheel does not read, those for which RapidOCR publishes a model.
_CODES = {
    "Latin": "afr aze bos cat ceb ces cos cym dan deu eng epo est eus fao fil fin fra frm fry gla gle glg hat hrv hun "
    "ind isl ita jav lat lav lit ltz mlt mri msa nld nor oci pol por que ron slk slv spa sqi srp_latn sun swa swe tgl "
    "ton tur uzb yor",
    "Greek": "ell",
    "Chinese": "chi_sim chi_tra",
    "Japanese": "jpn",
    "Cyrillic": "aze_cyrl bel bul kaz kir mkd mon rus srp tat tgk ukr uzb_cyrl",
    "Arabic": "ara fas kur_ara pus snd uig urd",
    "Hangul": "kor",
    "Thai": "tha",
    "Devanagari": "hin mar nep san",
    "Tamil": "tam",
    "Telugu": "tel",
    "Kannada": "kan",
}
# The scripts that the model in the wheel reads.
_IN_THE_WHEEL = ("Latin", "Greek", "Chinese", "Japanese")
# Seconds for the list of Tesseract's languages. Chosen: it takes 50 ms.
_LIST_SECONDS = 10.0
_SCRIPTS = {code: script for script, codes in _CODES.items() for code in codes.split()}
# Names of files in the wheel's list of models, for a script or for one language, the better first.
_EAST_SLAVIC = ("eslav_PP-OCRv5_rec_mobile", "cyrillic_PP-OCRv5_rec_mobile")
_MODELS = {
    "Cyrillic": ("cyrillic_PP-OCRv5_rec_mobile",),
    "Arabic": ("arabic_PP-OCRv5_rec_mobile",),
    "Hangul": ("korean_PP-OCRv5_rec_mobile",),
    "Thai": ("th_PP-OCRv5_rec_mobile",),
    "Devanagari": ("devanagari_PP-OCRv5_rec_mobile",),
    "Tamil": ("ta_PP-OCRv5_rec_mobile",),
    "Telugu": ("te_PP-OCRv5_rec_mobile",),
    "Kannada": ("ka_PP-OCRv4_rec_mobile",),
    "rus": _EAST_SLAVIC,
    "ukr": _EAST_SLAVIC,
    "bel": _EAST_SLAVIC,
    # In Latin script, with letters that the model in the wheel lacks.
    "vie": ("latin_PP-OCRv5_rec_mobile",),
}


def scripts_of_codes(languages: str) -> tuple[str, ...]:
    """The scripts of languages joined by "+", each once; unknown codes have none."""
    return tuple(dict.fromkeys(_SCRIPTS[code] for code in _codes(languages) if code in _SCRIPTS))


def readable_codes(languages: str) -> tuple[str, ...]:
    """The languages that RapidOCR reads here: those of the model in the wheel, and those with a model of their own."""
    own = (code for code, script in _SCRIPTS.items() if script in _IN_THE_WHEEL)
    return tuple(sorted({*own, *_codes(languages)}))


def tesseract_codes() -> tuple[str, ...]:
    """The languages that Tesseract has data for here; none where it does not run."""
    program = shutil.which("tesseract")
    if program is None:
        return ()
    try:
        done = subprocess.run([program, "--list-langs"], capture_output=True, timeout=_LIST_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return ()
    # The first line is a heading; `osd` finds scripts and turns, and reads nothing.
    codes = done.stdout.decode("utf-8", "replace").split("\n")[1:]
    return tuple(sorted(code.strip() for code in codes if code.strip() not in ("", "osd")))


def further_models(languages: str, folder: str, *, known: Collection[str]) -> tuple[Path, ...]:
    """The models in `folder` for those of the languages whose script is not `known`.

    Raises `EngineUnavailable`, with the names of the files, where one is missing.
    """
    found: dict[Path, None] = {}
    for code in _codes(languages):
        if _SCRIPTS.get(code) in known:
            continue
        names = list(_file_names(code))
        paths = [Path(folder) / name for name in names] if folder else []
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            place = (
                f"the folder {folder!r} of OCR_MODEL_FOLDER" if folder else "a folder, and name it in OCR_MODEL_FOLDER"
            )
            raise EngineUnavailable(
                f"OCR_LANGUAGES names {code}, which the model of rapidocr does not read; put {' or '.join(names)} into "
                f"{place}, or set OCR_ENGINE=tesseract."
            )
        found[path] = None
    return tuple(found)


def _file_names(code: str) -> Iterator[str]:
    """The names that a model for this language may have; the first is for a model of the operator's own."""
    yield f"{code}.onnx"
    for name in _MODELS.get(code) or _MODELS.get(_SCRIPTS.get(code, ""), ()):
        yield f"{name}.onnx"


def _codes(languages: str) -> list[str]:
    return [code for code in languages.split("+") if code]
