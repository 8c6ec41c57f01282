"""Web never loads an engine (R3), nor what its children draw with: shown on the process itself, and in CI in an
environment that has no engine.
"""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx

from libs.storage import layout
from tests.documents import pdf
from tests.required import missing
from tests.running import Running
from tests.scripted import Script

ENGINES = {"torch", "transformers", "accelerate", "onnxruntime", "rapidocr", "cv2", "services.worker"}
# A figure of a result's archive is cut with numpy, when it is asked for.
OF_THE_CHILDREN = {"numpy", "PIL", "pymupdf", "isal"}
# An interpreter with nothing but the extra [web]; `.ci/run` makes one.
BARE = os.environ.get("GNOSIS_WEB_PYTHON", "")


def loaded(log: str) -> set[str]:
    """What `PYTHONPROFILEIMPORTTIME` reported, each module with the packages above it."""
    names = re.findall(r"^import time: +\d+ \| +\d+ \| +(\S+)$", log, re.MULTILINE)
    return {".".join(name.split(".")[:depth]) for name in names for depth in range(1, name.count(".") + 2)}


def answers(services: Running) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return services.get("/health").is_success
    return False


def test_web_takes_a_document_and_draws_its_pages_without_loading_an_engine(tmp_path: Path) -> None:
    services = Running(
        tmp_path, script=Script(), environ={"PYTHONPROFILEIMPORTTIME": "1"}, python=BARE or sys.executable
    )
    try:
        services.start("web")
        services.until(lambda: answers(services), "web to answer")
        job_id = services.upload(pdf(tmp_path / "two.pdf", 2))
        services.until(
            lambda: services.status(job_id)["current_step"] == "extraction_complete", "both pages to be drawn"
        )
        pages = services.status(job_id)["pages"]
        owner = layout.user_hash(layout.ANONYMOUS)
        image = services.get(f"/storage/{owner}/{job_id}/{pages['2']['image']}")
        mapped = Path(f"/proc/{services.pid('web')}/maps").read_text()
    finally:
        services.stop()

    modules = loaded((tmp_path / "web.log").read_text())
    assert "services.web.extract.extractor" in modules
    assert not modules & (ENGINES | OF_THE_CHILDREN)
    assert not re.search(r"torch|onnxruntime|cv2", mapped)
    assert image.content.startswith(b"\x89PNG")


def test_the_environment_of_webs_image_has_no_engine_to_load() -> None:
    if not BARE:
        missing("GNOSIS_WEB_PYTHON names no interpreter with the extra [web] alone: .ci/run makes one")
    ask = f"import importlib.util as u; print([n for n in {sorted(ENGINES - {'services.worker'})} if u.find_spec(n)])"
    answer = subprocess.run([BARE, "-c", ask], capture_output=True, text=True, check=True)

    assert answer.stdout.strip() == "[]"
