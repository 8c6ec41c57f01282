"""Environments with the clients of other services as PyPI has them, each made once and kept.

They are kept under `GNOSIS_CLIENT_ENVIRONMENTS`, by default in the user's cache, and named by what is in them: another
pin makes another one.
"""

import hashlib
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock

from tests.required import missing

#: Seconds in which an environment is made. Chosen: the largest downloads some 500 MB.
INSTALL_SECONDS = 1800
#: Seconds in which a client has read a document of a few pages. Chosen: longer than any machine needs.
CLIENT_SECONDS = 240


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """What pip installs, in this order."""

    #: With their dependencies.
    packages: tuple[str, ...]
    #: Without: those that are listed are all that its loaders need.
    alone: tuple[str, ...] = ()
    #: Folders that a package expects to be there, below the environment's `lib/pythonX.Y`.
    folders: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Changes with the content, and with the version of Python."""
        content = msgspec.json.encode([sys.version_info[:2], msgspec.to_builtins(self)])
        return hashlib.sha256(content).hexdigest()[:12]


#: By name. The versions are the newest of 2026-11-28.
ENVIRONMENTS = {
    "sdks": Environment(packages=("mistralai==3.7.0", "azure-ai-documentintelligence==1.0.2")),
    "markitdown": Environment(packages=("markitdown[az-doc-intel]==0.1.9",)),
    "litellm": Environment(packages=("litellm==1.110.2",)),
    "docling": Environment(packages=("docling-client==2.143.0", "typer")),
    "unstructured": Environment(packages=("unstructured-client==0.46.4", "langchain-unstructured==1.0.1")),
    "tika": Environment(packages=("tika-client==1.0.0", "httpx==0.28.1")),
    "openwebui": Environment(
        packages=(
            *("requests", "langchain-core==1.4.8", "langchain-classic", "fastapi", "ftfy", "azure-identity"),
            *("azure-ai-documentintelligence==1.0.2", "aiohttp", "typer", "uvicorn", "pydantic", "orjson"),
            *("sqlalchemy", "redis", "markdown", "beautifulsoup4", "alembic", "peewee", "loguru", "cryptography"),
            *("pandas", "bcrypt", "authlib", "python-engineio", "python-socketio", "aiosqlite", "python-mimeparse"),
            *("pillow", "mcp", "greenlet", "chromadb", "validators", "pytz"),
        ),
        alone=("open-webui==0.12.4",),
        folders=("static/static",),
    ),
}


def run_client(environment: str, program: Path, *arguments: str, **environ: str) -> Any:
    """Run the program with the environment's Python; what it has printed last, as JSON. Fails with its output."""
    ended = subprocess.run(
        [str(_python(environment)), str(program), *arguments],
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "NO_PROXY": "*", **environ},
        capture_output=True,
        text=True,
        timeout=CLIENT_SECONDS,
    )
    assert ended.returncode == 0, f"{ended.stdout[-3000:]}\n{ended.stderr[-6000:]}"
    return json.loads(ended.stdout.strip().splitlines()[-1])


def _python(name: str) -> Path:
    """The Python of the environment, which is made where it is missing; skips the test where PyPI is away."""
    environment = ENVIRONMENTS[name]
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "gnosis-ocr" / "clients"
    root = Path(os.environ.get("GNOSIS_CLIENT_ENVIRONMENTS") or cache).expanduser()
    folder = root / f"{name}-{environment.digest}"
    root.mkdir(parents=True, exist_ok=True)
    # Of two processes that need it one makes it.
    with FileLock(f"{folder}.lock", timeout=2 * INSTALL_SECONDS):
        if not (folder / "complete").exists():
            _make(environment, folder)
    return folder / "bin" / "python"


def _make(environment: Environment, folder: Path) -> None:
    _call(sys.executable, "-m", "venv", "--clear", str(folder))
    pip = (str(folder / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "install")
    _call(*pip, *environment.packages)
    if environment.alone:
        _call(*pip, "--no-deps", *environment.alone)
    library = Path(sysconfig.get_path("stdlib", vars={"installed_base": str(folder)}))
    for name in environment.folders:
        (library / name).mkdir(parents=True, exist_ok=True)
    (folder / "complete").touch()


def _call(*command: str) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    if ended.returncode:
        last = (ended.stderr or ended.stdout).strip().splitlines()[-1:]
        missing(f"the clients cannot be installed, is PyPI away? {' '.join(last)}")
