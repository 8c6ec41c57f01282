"""The command `gnosis-ocr` (`python -m services.local`): Gnosis OCR on one machine."""

import asyncio
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal, NoReturn

from cyclopts import App, Parameter
from cyclopts.exceptions import CycloptsError

from libs.config import ConfigError
from libs.config import read as read_settings
from services.local import processes
from services.local.config import LocalConfig
from services.local.doctor import examine
from services.local.documents import STDIN
from services.local.exit import BAD_INPUT, INTERRUPTED, CommandError
from services.local.launcher import run
from services.local.mcp import serve as serve_mcp
from services.local.ocr import OcrArguments, ocr
from services.local.read import ReadArguments, read
from services.local.reading import Options
from services.local.secret import ASK, password_of
from services.local.terminal import say

#: How pages with text of their own are read, as the service names it.
Ocr = Literal["auto", "force", "text"]
#: The forms of a result that the service offers.
Form = Literal["md", "txt", "html", "json", "zip", "pdf"]

_Pages = Annotated[str, Parameter(help="Pages to read, such as 1-5,8,12-. All by default.")]
_Dpi = Annotated[int | None, Parameter(help="Resolution at which PDF pages are read, 72 to 400. 150 by default.")]
_Engine = Annotated[str, Parameter(help="The engine to read with. By default the service's own choice.")]
_Ocr = Annotated[
    Ocr,
    Parameter(help="Recognise pages only where their own text is not trusted (auto, the default), always, or never."),
]
_Keep = Annotated[bool, Parameter(help="Leave what was read in the service.")]

app = App(
    name="gnosis-ocr",
    help="Gnosis OCR: documents in, Markdown out, every page accounted for.",
    version=lambda: version("gnosis-ocr"),
    help_format="markdown",
    # Options that are left out are not set: a form "--no-..." of each would only be a second way to say so.
    default_parameter=Parameter(negative=(), show_default=False),
    result_action="return_value",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and the environment, do the command, and return its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    # To cyclopts a single hyphen is an option.
    tokens = [STDIN if word == "-" else word for word in given]
    if tokens[:1] == ["read"]:
        # It would take the next word for the value, and so the name of a document for its password.
        tokens = [f"--password={ASK}" if word == "--password" else word for word in tokens]
    try:
        code = app(tokens, exit_on_error=False, print_error=False)
    except CommandError as error:
        say(str(error))
        return error.code
    except CycloptsError as error:
        error.verbose = False
        say(f"{' '.join(str(error).split())} See gnosis-ocr --help.")
        return BAD_INPUT
    except ConfigError as error:
        say(str(error))
        return BAD_INPUT
    return code if isinstance(code, int) else 0


@app.command(name="read")
def _read(
    *files: Annotated[str, Parameter(help="PDFs and images, folders, patterns, or - for standard input.")],
    pages: _Pages = "",
    dpi: _Dpi = None,
    engine: _Engine = "",
    ocr: _Ocr = "auto",
    language: Annotated[
        str, Parameter(help="Languages of the documents, such as en,de. By default those of the service's settings.")
    ] = "",
    password: Annotated[
        str,
        Parameter(
            help="Ask for the password of encrypted PDFs. --password=SECRET gives it, but then all who can list the "
            "machine's processes see it."
        ),
    ] = "",
    password_file: Annotated[Path | None, Parameter(help="A file whose first line is that password.")] = None,
    form: Annotated[str, Parameter(name="--format", help="Some of md,txt,html,json,zip,pdf. md by default.")] = "md",
    output: Annotated[
        Path | None, Parameter(name=("--output", "-o"), help="The folder of the results. By default standard output.")
    ] = None,
    server: Annotated[
        str, Parameter(env_var="GNOSIS_URL", help="The address of the service. By default a private one is started.")
    ] = "",
    jobs: Annotated[
        int, Parameter(name=("--jobs", "-j"), help="Documents that are read at the same time. 4 by default.")
    ] = 4,
    report: Annotated[
        bool, Parameter(name="--json", help="Print a line of JSON for each document on standard output.")
    ] = False,
    skip_existing: Annotated[bool, Parameter(help="Do not read what has its results already.")] = False,
    no_clobber: Annotated[bool, Parameter(help="Refuse to replace files.")] = False,
    strict: Annotated[bool, Parameter(help="End with 4 where pages should be compared.")] = False,
    keep: _Keep = False,
    quiet: Annotated[
        bool, Parameter(name=("--quiet", "-q"), help="Print nothing but results and what went wrong.")
    ] = False,
) -> int:
    """Read documents.

    One document goes to standard output, several into the folder --output. After Ctrl-C the same command goes on where
    it was. Exit codes: 0 all was read, 1 nothing was, 2 a file, an option or a setting is wrong, 3 some pages or
    documents could not be read, 4 pages should be compared with the document (--strict), 130 Ctrl-C.
    """
    if not files:
        say("which documents? For example: gnosis-ocr read scan.pdf")
        return BAD_INPUT
    if jobs < 1:
        say(f"--jobs {jobs}: give 1 or more.")
        return BAD_INPUT
    given = ReadArguments(
        files=files,
        options=Options(pages=pages, dpi=dpi, engine=engine, ocr=ocr, languages=language),
        password=password_of(password, password_file),
        forms=tuple(dict.fromkeys(name.strip() for name in form.split(","))),
        output=output,
        server=server,
        jobs=jobs,
        report=report,
        skip_existing=skip_existing,
        no_clobber=no_clobber,
        strict=strict,
        keep=keep,
        quiet=quiet,
    )
    return asyncio.run(read(given, _config(), os.environ))


@app.command(name="ocr")
def _ocr(
    file: Annotated[Path, Parameter(help="A PDF or an image.")],
    /,
    *,
    pages: _Pages = "",
    dpi: _Dpi = None,
    engine: _Engine = "",
    ocr_mode: Annotated[_Ocr, Parameter(name="--ocr")] = "auto",
    form: Annotated[Form, Parameter(name="--format", help="The form of the result. md by default.")] = "md",
    output: Annotated[Path | None, Parameter(help="The file of the result. By default standard output.")] = None,
    keep: _Keep = False,
) -> int:
    """Read one document, as make ocr does.

    Uses the Gnosis OCR at GNOSIS_URL (http://127.0.0.1:7799) when one runs there, and starts a private one otherwise.
    Exit codes: 0 done, 1 not every page could be read, 2 the file, an option or a setting is wrong, 130 Ctrl-C.
    """
    given = OcrArguments(
        file=file,
        options=Options(pages=pages, dpi=dpi, engine=engine, ocr=ocr_mode),
        form=form,
        output=output,
        keep=keep,
    )
    return asyncio.run(ocr(given, _config(), os.environ))


@app.command(name=("serve", "run"))
def _serve() -> int:
    """Run both services until Ctrl-C, as make run does.

    Ports: WEB_PORT (7799), WORKER_PORT (7800). Exit codes: 0 after Ctrl-C, 1 a service cannot stay up, 2 a setting is
    wrong.
    """
    return asyncio.run(run(_config(), os.environ))


@app.command(name="doctor")
def _doctor(
    *,
    report: Annotated[bool, Parameter(name="--json", help="Print it as JSON.")] = False,
) -> int:
    """Say what is installed here, which engine reads, which walls stand, and where the disk is full.

    Exit codes: 0 documents can be read here, 1 something for that is missing.
    """
    return asyncio.run(examine(_config(), os.environ, as_json=report))


@app.command(name="mcp")
def _mcp(
    *,
    server: Annotated[
        str, Parameter(env_var="GNOSIS_URL", help="The address of the service. By default that of this machine.")
    ] = "",
    folder: Annotated[
        Path | None, Parameter(help="A folder whose documents the agent may read. By default none.")
    ] = None,
) -> int:
    """Serve agents that speak the Model Context Protocol, over standard input and output (docs/frontdoors.md)."""
    config = _config()
    if folder is not None and not folder.is_dir():
        say(f"--folder {folder}: there is no such folder")
        return BAD_INPUT
    try:
        return asyncio.run(serve_mcp(server.rstrip("/") or config.base_url, config.gnosis_api_key, folder))
    except KeyboardInterrupt:
        return INTERRUPTED


@app.command(name="keys", help_flags=[], version_flags=[])
def _keys(*arguments: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> NoReturn:
    """API keys: create --email you@example.org, list, revoke ID."""
    _become("services.web.auth.cli", arguments)


@app.command(name="migrate", help_flags=[], version_flags=[])
def _migrate(*arguments: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> NoReturn:
    """Import sessions of the first version: FROM --owner E [--apply] (docs/migration.md)."""
    _become("services.web.migrate", arguments)


@app.command(name="model")
def _model() -> NoReturn:
    """Bring the model into the cache ahead of the first start (docs/model-cache.md)."""
    _become("services.worker.modelcache", ())


def _become(name: str, arguments: Sequence[str]) -> NoReturn:
    """Replace this process by the module's."""
    command = processes.module(name, *arguments)
    os.execv(command[0], command)  # noqa: S606 - a fixed program


def _config() -> LocalConfig:
    """The settings. Raises `ConfigError`."""
    config = read_settings(LocalConfig, os.environ)
    config.check()
    return config


if __name__ == "__main__":
    sys.exit(main())
