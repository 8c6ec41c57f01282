"""The options that pages may have of their own, as uploads and retries name them."""

from collections.abc import Mapping

from libs import workerstate
from libs.jobstate.intake import OcrMode, PageOptions
from libs.storage.store import ObjectStore
from services.serving.problem import Problem

#: Resolutions at which pages are rendered, in dots per inch.
MIN_DPI, MAX_DPI = 72, 400


async def read_page_options(store: ObjectStore, fields: Mapping[str, str]) -> PageOptions:
    """Those of the options that pages may have of their own; `None` for what was not sent. Raises `Problem` 422."""
    dpi = fields.get("dpi", "").strip()
    if dpi and (not dpi.isascii() or not dpi.isdigit() or len(dpi) > 9 or not MIN_DPI <= int(dpi) <= MAX_DPI):
        raise Problem(
            422,
            "Bad field",
            f"dpi is a whole number from {MIN_DPI} to {MAX_DPI}.",
            "150 suits most documents.",
        )
    engine = fields.get("engine", "").strip() or None
    if engine is not None and engine not in (known := (await workerstate.read(store)).engines):
        names = ", ".join(known) or "none yet: the worker has not started"
        raise Problem(
            422, "Bad field", "There is no engine of that name.", f"Leave engine out or name one of: {names}."
        )
    ocr = fields.get("ocr", "").strip()
    if ocr and ocr not in tuple(OcrMode):
        raise Problem(
            422,
            "Bad field",
            f"ocr is one of: {', '.join(OcrMode)}.",
            "Leave it out to recognise only pages without trustworthy text of their own.",
        )
    return PageOptions(dpi=int(dpi) if dpi else None, engine=engine, ocr=OcrMode(ocr) if ocr else None)
