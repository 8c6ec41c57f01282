"""`ocr`: reads one document and writes its text."""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

import httpx
import msgspec

from services.local import processes
from services.local.client import ApiError, GnosisClient, Unreachable
from services.local.config import LocalConfig
from services.local.terminal import Interrupts, ProgressBar, say
from services.serving.supervisor import Supervisor, Timings

DONE, NOT_ALL_READ, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
#: The forms of a result that the service offers.
FORMS = ("md", "txt", "html", "json", "zip", "pdf")
_LOG_LINES = 5
_WITHOUT_RESULT = ("failed", "cancelled")


class OcrArguments(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of the command `ocr`."""

    file: Path
    #: Such as "1-5,8,12-"; "" for all.
    pages: str = ""
    #: None for the service's default.
    dpi: int | None = None
    #: "auto", "force" or "text"; "" for the service's default.
    ocr: str = ""
    #: One of `FORMS`.
    form: str = "md"
    #: None for standard output.
    output: Path | None = None


class CannotRead(Exception):
    """The command ends here, with `code`; the message is the line to show."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


async def ocr(arguments: OcrArguments, config: LocalConfig, environ: Mapping[str, str]) -> int:
    """Read the document with the Gnosis that is running, or with one of its own; the exit code."""
    interrupts = Interrupts()
    work = asyncio.create_task(_ocr(arguments, config, environ, interrupts))
    stopped = asyncio.create_task(interrupts.stop.wait())
    await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    work.cancel()
    try:
        return await work
    except CannotRead as error:
        say(str(error))
        return error.code
    except asyncio.CancelledError:
        say("interrupted")
        return INTERRUPTED


async def _ocr(arguments: OcrArguments, config: LocalConfig, environ: Mapping[str, str], interrupts: Interrupts) -> int:
    _check(arguments)
    async with _gnosis(config, environ, interrupts) as client:
        try:
            return await _read(arguments, client)
        except ApiError as error:
            refused_input = 400 <= error.status < 500 and error.status != 429
            raise CannotRead(BAD_INPUT if refused_input else NOT_ALL_READ, str(error)) from error
        except Unreachable as error:
            raise CannotRead(NOT_ALL_READ, str(error)) from error


def _check(arguments: OcrArguments) -> None:
    """Raise `CannotRead` for what can be refused without a service, before one is started."""
    if not arguments.file.exists():
        raise CannotRead(BAD_INPUT, f"{arguments.file}: there is no such file. Check the path.")
    if not arguments.file.is_file():
        raise CannotRead(BAD_INPUT, f"{arguments.file}: not a file. Give one PDF or image.")
    if not os.access(arguments.file, os.R_OK):
        raise CannotRead(BAD_INPUT, f"{arguments.file}: may not be read. Check its permissions.")
    if arguments.file.stat().st_size == 0:
        raise CannotRead(BAD_INPUT, f"{arguments.file}: the file is empty. Give a PDF or image.")
    if arguments.form in ("zip", "pdf") and arguments.output is None and sys.stdout.isatty():
        raise CannotRead(
            BAD_INPUT,
            f"A {arguments.form} file cannot be shown on a terminal. Give --output PATH, or another --format.",
        )
    if arguments.output is not None and (arguments.output.is_dir() or not arguments.output.parent.is_dir()):
        raise CannotRead(BAD_INPUT, f"{arguments.output}: cannot be written. Give a file in a directory that exists.")


async def _read(arguments: OcrArguments, client: GnosisClient) -> int:
    try:
        job_id = await client.upload(arguments.file, pages=arguments.pages, dpi=arguments.dpi, ocr=arguments.ocr)
    except OSError as error:
        raise CannotRead(BAD_INPUT, f"{arguments.file}: cannot be read: {error.strerror}.") from error
    record = None
    try:
        with ProgressBar() as bar:
            async for record in client.statuses(job_id):
                if record["status"] not in _WITHOUT_RESULT:
                    bar.show(record)
    except asyncio.CancelledError:
        # A Gnosis that runs on would still read the job, although no command waits for it any more.
        with suppress(ApiError, Unreachable):
            await client.cancel(job_id)
        raise
    assert record is not None
    if record["status"] in _WITHOUT_RESULT:
        raise CannotRead(NOT_ALL_READ, f"{arguments.file.name}: {record['error'] or record['message']}")
    _write(await client.result(job_id, arguments.form), arguments.output)
    doubtful = sorted(int(number) for number, page in record["pages"].items() if page.get("doubts"))
    if doubtful:
        say(f"Compare these pages with the document: {', '.join(map(str, doubtful))}. --format json says why.")
    failed = [int(number) for number, page in record["pages"].items() if page["status"] == "failed"]
    if not failed:
        return DONE
    numbers = ", ".join(str(number) for number in sorted(failed))
    say(f"{len(failed)} of {len(record['pages'])} pages could not be read: {numbers}. They are marked in the text.")
    return NOT_ALL_READ


def _write(text: bytes, output: Path | None) -> None:
    if output is not None:
        try:
            output.write_bytes(text)
        except OSError as error:
            raise CannotRead(BAD_INPUT, f"{output}: cannot be written: {error.strerror}.") from error
        return
    try:
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # The reader has closed the pipe (`| head`); Python would raise again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@asynccontextmanager
async def _gnosis(
    config: LocalConfig, environ: Mapping[str, str], interrupts: Interrupts
) -> AsyncIterator[GnosisClient]:
    """A client of the Gnosis that is running, else of a private one that is removed at the end of the block."""
    # A proxy from the environment may be the way to another machine, but never to this one.
    proof = {"X-Api-Key": config.gnosis_api_key} if config.gnosis_api_key else {}
    async with httpx.AsyncClient(trust_env=bool(config.gnosis_url), headers=proof) as http:
        client = GnosisClient(config.base_url, http)
        if await client.is_gnosis():
            yield client
            return
    if config.gnosis_url:
        say(f"no Gnosis answers at {config.gnosis_url}: starting a private one")
    web_port, worker_port = processes.free_ports(2)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="gnosis-ocr-", ignore_cleanup_errors=True))
        log = Path(folder, "services.log")
        output = stack.enter_context(log.open("ab"))  # noqa: ASYNC230 - only the services write
        supervisor = Supervisor(
            processes.services(web_port=web_port, worker_port=worker_port),
            processes.private_environment(
                environ, web_port=web_port, worker_port=worker_port, storage=Path(folder, "storage")
            ),
            say=lambda line: None,
            output=output.fileno(),
            timings=Timings.by_liveness(config.liveness_seconds),
            kill_now=interrupts.at_once,
        )
        async with supervisor, httpx.AsyncClient(trust_env=False) as http:
            await _until_ready(supervisor, log)
            yield GnosisClient(f"http://127.0.0.1:{web_port}", http)


async def _until_ready(supervisor: Supervisor, log: Path) -> None:
    ready = asyncio.create_task(supervisor.ready())
    failed = asyncio.create_task(supervisor.given_up())
    try:
        await asyncio.wait({ready, failed}, return_when=asyncio.FIRST_COMPLETED)
        if failed.done():
            last = log.read_text("utf-8", "replace").splitlines()[-_LOG_LINES:]
            raise CannotRead(failed.result(), "the services do not start:\n" + "\n".join(last))
    finally:
        ready.cancel()
        failed.cancel()
