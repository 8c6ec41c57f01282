"""`ocr`: one document in, its text out."""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

import httpx
import msgspec

from services.local import pair
from services.local.client import GnosisClient, Refused, Unreachable
from services.local.config import LocalConfig
from services.local.interrupts import Interrupts
from services.local.launcher import say
from services.local.ports import free_ports
from services.local.progress import ProgressBar
from services.local.supervisor import Supervisor

DONE, NOT_ALL_READ, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
_LOG_LINES = 5
_WITHOUT_RESULT = ("failed", "cancelled")


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for; `output` None is standard output, `dpi` None the service's default."""

    file: Path
    pages: str = ""
    dpi: int | None = None
    form: str = "md"
    output: Path | None = None


class CannotRead(Exception):
    """The command ends here, with `code`; the message is the line to show."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


async def ocr(order: Order, config: LocalConfig, environ: Mapping[str, str]) -> int:
    """Read the document with the Gnosis that is running, or with one of its own; the exit code."""
    interrupts = Interrupts()
    work = asyncio.create_task(_ocr(order, config, environ, interrupts))
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


async def _ocr(order: Order, config: LocalConfig, environ: Mapping[str, str], interrupts: Interrupts) -> int:
    _check(order)
    async with _gnosis(config, environ, interrupts) as client:
        try:
            return await _read(order, client)
        except Refused as error:
            refused_input = 400 <= error.status < 500 and error.status != 429
            raise CannotRead(BAD_INPUT if refused_input else NOT_ALL_READ, str(error)) from error
        except Unreachable as error:
            raise CannotRead(NOT_ALL_READ, str(error)) from error


def _check(order: Order) -> None:
    """Refuse what needs no service to be refused, before one is started for it."""
    if not order.file.exists():
        raise CannotRead(BAD_INPUT, f"{order.file}: there is no such file. Check the path.")
    if not order.file.is_file():
        raise CannotRead(BAD_INPUT, f"{order.file}: not a file. Give one PDF or image.")
    if not os.access(order.file, os.R_OK):
        raise CannotRead(BAD_INPUT, f"{order.file}: may not be read. Check its permissions.")
    if order.file.stat().st_size == 0:
        raise CannotRead(BAD_INPUT, f"{order.file}: the file is empty. Give a PDF or image.")
    if order.output is not None and (order.output.is_dir() or not order.output.parent.is_dir()):
        raise CannotRead(BAD_INPUT, f"{order.output}: cannot be written. Give a file in a directory that exists.")


async def _read(order: Order, client: GnosisClient) -> int:
    try:
        job_id = await client.upload(order.file, pages=order.pages, dpi=order.dpi)
    except OSError as error:
        raise CannotRead(BAD_INPUT, f"{order.file}: cannot be read: {error.strerror}.") from error
    record = None
    try:
        with ProgressBar() as bar:
            async for record in client.statuses(job_id):
                if record["status"] not in _WITHOUT_RESULT:
                    bar.show(record)
    except asyncio.CancelledError:
        # The Gnosis may be one that goes on: nobody waits for this job any more.
        with suppress(Refused, Unreachable):
            await client.cancel(job_id)
        raise
    assert record is not None
    if record["status"] in _WITHOUT_RESULT:
        raise CannotRead(NOT_ALL_READ, f"{order.file.name}: {record['error'] or record['message']}")
    _write(await client.result(job_id, order.form), order.output)
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
        # The reader has had enough (`| head`); Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@asynccontextmanager
async def _gnosis(
    config: LocalConfig, environ: Mapping[str, str], interrupts: Interrupts
) -> AsyncIterator[GnosisClient]:
    """The Gnosis that is running, else a private one that leaves nothing behind."""
    # A proxy of the environment may lead to another machine's Gnosis, never to this machine's.
    proof = {"X-Api-Key": config.gnosis_api_key} if config.gnosis_api_key else {}
    async with httpx.AsyncClient(trust_env=bool(config.gnosis_url), headers=proof) as http:
        client = GnosisClient(config.base_url, http)
        if await client.is_gnosis():
            yield client
            return
    if config.gnosis_url:
        say(f"no Gnosis answers at {config.gnosis_url}: starting a private one")
    web_port, worker_port = free_ports(2)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="gnosis-ocr-", ignore_cleanup_errors=True))
        log = Path(folder, "services.log")
        output = stack.enter_context(log.open("ab"))  # noqa: ASYNC230 - only the services write
        supervisor = Supervisor(
            pair.services(web_port=web_port, worker_port=worker_port),
            pair.private_environment(
                environ, web_port=web_port, worker_port=worker_port, storage=Path(folder, "storage")
            ),
            say=lambda line: None,
            output=output.fileno(),
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
