"""`read`: reads documents and writes their results, and goes on after an interruption."""

import asyncio
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from gnosis_ocr import FORMS, AsyncClient, GnosisError
from libs.config import ConfigError
from services.local import documents
from services.local.config import LocalConfig
from services.local.documents import Document, Outputs
from services.local.exit import BAD_INPUT, FAILED, INTERRUPTED, CommandError
from services.local.ledger import Ledger, state_folder
from services.local.outcome import Outcome, exit_code, report, summarise
from services.local.private import own_folder, private_gnosis
from services.local.reading import Options, Reader
from services.local.terminal import Display, Interrupts, say

# Seconds for which requests are repeated: the services may restart, and a limit may be reached, while others wait.
_PATIENCE_SECONDS = 600.0
#: Forms that a terminal cannot show.
BINARY = ("zip", "pdf")


class ReadArguments(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of the command `read`."""

    #: Files, folders, patterns, or `documents.STDIN`.
    files: tuple[str, ...]
    options: Options = Options()
    #: Of those of the documents that are encrypted; "" without one.
    password: str = ""
    forms: tuple[str, ...] = ("md",)
    #: The folder of the results; None for standard output.
    output: Path | None = None
    #: The address of the service; "" for a private one.
    server: str = ""
    #: Documents that are read at the same time.
    jobs: int = 4
    #: Print a JSON object for each document on standard output.
    report: bool = False
    #: Do not read documents whose results are there.
    skip_existing: bool = False
    #: Refuse to replace files.
    no_clobber: bool = False
    #: Pages to check have an exit code.
    strict: bool = False
    #: Leave the jobs in the service.
    keep: bool = False
    quiet: bool = False


async def read(arguments: ReadArguments, config: LocalConfig, environ: Mapping[str, str]) -> int:
    """Read the documents; the exit code."""
    interrupts = Interrupts()
    try:
        return await until_interrupted(_read(arguments, config, environ, interrupts), interrupts)
    except CommandError as error:
        say(str(error))
        return error.code
    except asyncio.CancelledError:
        say("interrupted; the same command goes on from here")
        return INTERRUPTED


async def until_interrupted(work: Coroutine[Any, Any, int], interrupts: Interrupts) -> int:
    """The work's value. A signal cancels it, and `CancelledError` is raised when it has ended."""
    task = asyncio.create_task(work)
    stopped = asyncio.create_task(interrupts.stop.wait())
    await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not task.done():
        task.cancel()
    return await task


async def _read(
    arguments: ReadArguments, config: LocalConfig, environ: Mapping[str, str], interrupts: Interrupts
) -> int:
    async with AsyncExitStack() as stack:
        temporary = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gnosis-ocr-")))
        found = documents.find(
            arguments.files, read_stdin=lambda: documents.store(sys.stdin.buffer, temporary / "stdin.pdf")
        )
        outputs = _outputs(arguments, found)
        wanted = [document for document in found if not (arguments.skip_existing and _is_there(outputs, document))]
        _check_clobber(arguments, outputs, wanted)
        outcomes = [Outcome(document=document, skipped=True) for document in found if document not in wanted]
        if wanted:
            client, ledger = await stack.enter_async_context(_gnosis(arguments, config, environ, interrupts))
            display = stack.enter_context(Display(quiet=arguments.quiet, documents=len(wanted)))
            reader = Reader(client, ledger, display, arguments.options, password=arguments.password)
            outcomes += await _read_all(arguments, wanted, outputs, client, reader, display)
            await _leave(reader, keep=arguments.keep)
    outcomes.sort(key=lambda outcome: found.index(outcome.document))
    summarise(outcomes, quiet=arguments.quiet)
    return exit_code(outcomes, strict=arguments.strict)


def _outputs(arguments: ReadArguments, found: Sequence[Document]) -> Outputs:
    """Where the results go. Raises `CommandError` for arguments that do not go together."""
    unknown = [form for form in arguments.forms if form not in FORMS]
    if unknown or not arguments.forms:
        raise CommandError(BAD_INPUT, f"--format: {', '.join(unknown) or 'empty'}. Give some of {', '.join(FORMS)}.")
    if arguments.output is None:
        if len(found) > 1 or len(arguments.forms) > 1 or arguments.report:
            raise CommandError(BAD_INPUT, "standard output takes one result. Give --output DIR.")
        if arguments.forms[0] in BINARY and sys.stdout.isatty():
            raise CommandError(
                BAD_INPUT, f"a {arguments.forms[0]} file cannot be shown on a terminal. Give --output DIR."
            )
        return Outputs(folder=None, forms=arguments.forms)
    outputs = Outputs(folder=arguments.output, forms=arguments.forms)
    if arguments.output.exists() and not arguments.output.is_dir():
        raise CommandError(BAD_INPUT, f"{arguments.output}: not a folder. Give --output another one.")
    return outputs


def _check_clobber(arguments: ReadArguments, outputs: Outputs, wanted: Sequence[Document]) -> None:
    """Raise `CommandError` where a result would replace a file and must not."""
    there = [file for document in wanted for file in outputs.files(document).values() if file.exists()]
    if arguments.no_clobber and there:
        raise CommandError(BAD_INPUT, f"{there[0]} exists, and --no-clobber is given. Move it, or add --skip-existing.")


def _is_there(outputs: Outputs, document: Document) -> bool:
    files = outputs.files(document).values()
    return bool(files) and all(file.exists() for file in files)


@asynccontextmanager
async def _gnosis(
    arguments: ReadArguments, config: LocalConfig, environ: Mapping[str, str], interrupts: Interrupts
) -> AsyncIterator[tuple[AsyncClient, Ledger]]:
    """The service that the arguments name, else a private one; and what was begun there. Raises `CommandError`."""
    state = state_folder(config.gnosis_state, environ)
    async with AsyncExitStack() as stack:
        try:
            if arguments.server:
                url, key = arguments.server.rstrip("/"), config.gnosis_api_key
                place = hashlib.sha256(f"{url} {key}".encode()).hexdigest()[:16]
                ledger = Ledger(state / "servers" / f"{place}.json")
            else:
                folder = stack.enter_context(own_folder(state / "private"))
                ledger, key = Ledger(folder / "reading.json"), ""
                if not arguments.quiet:
                    say("starting a private Gnosis OCR (--server URL uses one that runs)")
                url = await stack.enter_async_context(private_gnosis(folder, config, environ, interrupts))
            client = await stack.enter_async_context(AsyncClient(url, api_key=key, patience=_PATIENCE_SECONDS))
        except OSError as error:
            raise CommandError(
                BAD_INPUT, f"{state}: cannot be used: {error.strerror or error}. Set GNOSIS_STATE to another folder."
            ) from error
        except (ConfigError, GnosisError) as error:
            raise CommandError(BAD_INPUT, str(error)) from error
        if arguments.server:
            if not await client.is_gnosis():
                raise CommandError(FAILED, f"no Gnosis OCR answers at {url}. Is it running?")
            if not arguments.quiet:
                say(f"using the Gnosis OCR at {url}")
        yield client, ledger


async def _read_all(
    arguments: ReadArguments,
    wanted: Sequence[Document],
    outputs: Outputs,
    client: AsyncClient,
    reader: Reader,
    display: Display,
) -> list[Outcome]:
    """What became of each document, in order."""
    places = asyncio.Semaphore(arguments.jobs)

    async def one(document: Document) -> Outcome:
        async with places:
            outcome = await _read_one(document, outputs, client, reader)
        display.end(document.name)
        if outcome.error and not arguments.quiet and len(wanted) > 1:
            say(f"{document.name}: {outcome.error}")
        if arguments.report:
            print(msgspec.json.encode(report(outcome)).decode(), flush=True)
        return outcome

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(document)) for document in wanted]
    return [task.result() for task in tasks]


async def _read_one(document: Document, outputs: Outputs, client: AsyncClient, reader: Reader) -> Outcome:
    began = time.monotonic()
    try:
        job = await reader.read(document)
        files = outputs.files(document)
        for form, file in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            await client.download(job.job_id, file, form)
        if not files:
            write_out(await client.result(job.job_id, outputs.forms[0]))
    except (GnosisError, OSError) as error:
        return Outcome(document=document, error=str(error), seconds=time.monotonic() - began)
    return Outcome(document=document, job=job, files=tuple(files.values()), seconds=time.monotonic() - began)


def write_out(content: bytes) -> None:
    """Write to standard output."""
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # The reader has closed the pipe (`| head`); Python would raise again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def _leave(reader: Reader, *, keep: bool) -> None:
    """Keep what was read in the service, or delete it there. A failure is told and changes nothing else."""
    try:
        if keep:
            reader.keep()
        else:
            await reader.forget()
    except (GnosisError, OSError) as error:
        say(f"what was read could not be {'noted as kept' if keep else 'deleted from the service'}: {error}")
