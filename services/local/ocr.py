"""`ocr`, the command of `make ocr`: reads one document and writes its text."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

from gnosis_ocr import ApiError, AsyncClient, GnosisError, Job, NotRead
from services.local import documents
from services.local.config import LocalConfig
from services.local.documents import Document
from services.local.exit import BAD_INPUT, DONE, FAILED, INTERRUPTED, CommandError
from services.local.ledger import Ledger
from services.local.private import private_gnosis
from services.local.read import BINARY, until_interrupted, write_out
from services.local.reading import Options, Reader
from services.local.terminal import Display, Interrupts, say

# Seconds that deleting what was read may take: after Ctrl-C a person waits for it. Chosen.
_DELETING_SECONDS = 5.0


class OcrArguments(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of the command `ocr`."""

    file: Path
    options: Options = Options()
    #: One of `gnosis_ocr.FORMS`.
    form: str = "md"
    #: None for standard output.
    output: Path | None = None
    #: Leave the job in the service.
    keep: bool = False


async def ocr(arguments: OcrArguments, config: LocalConfig, environ: Mapping[str, str]) -> int:
    """Read the document with the Gnosis OCR that is running, or with one of its own; the exit code."""
    interrupts = Interrupts()
    try:
        return await until_interrupted(_ocr(arguments, config, environ, interrupts), interrupts)
    except CommandError as error:
        say(str(error))
        return error.code
    except asyncio.CancelledError:
        say("interrupted")
        return INTERRUPTED


async def _ocr(arguments: OcrArguments, config: LocalConfig, environ: Mapping[str, str], interrupts: Interrupts) -> int:
    document = documents.single(arguments.file)
    _check_output(arguments)
    async with _gnosis(config, environ, interrupts) as client:
        job, result = await _read(document, arguments, client)
    _write(result, arguments.output)
    return _summarise(job)


def _check_output(arguments: OcrArguments) -> None:
    """Raise `CommandError` for an output that can be refused without a service, before one is started."""
    if arguments.form in BINARY and arguments.output is None and sys.stdout.isatty():
        raise CommandError(
            BAD_INPUT,
            f"A {arguments.form} file cannot be shown on a terminal. Give --output PATH, or another --format.",
        )
    if arguments.output is not None and (arguments.output.is_dir() or not arguments.output.parent.is_dir()):
        raise CommandError(BAD_INPUT, f"{arguments.output}: cannot be written. Give a file in a directory that exists.")


async def _read(document: Document, arguments: OcrArguments, client: AsyncClient) -> tuple[Job, bytes]:
    """The record of the document's job, and its result. Raises `CommandError`."""
    with Display(quiet=False) as display:
        reader = Reader(client, Ledger(None), display, arguments.options)
        try:
            job = await reader.read(document)
            return job, await client.result(job.job_id, arguments.form)
        except NotRead as error:
            raise CommandError(FAILED, f"{document.path.name}: {error}") from error
        except ApiError as error:
            refused_input = 400 <= error.status < 500 and error.status != 429
            raise CommandError(BAD_INPUT if refused_input else FAILED, str(error)) from error
        except GnosisError as error:
            raise CommandError(FAILED, str(error)) from error
        except OSError as error:
            raise CommandError(BAD_INPUT, f"{document.path}: cannot be read: {error.strerror}.") from error
        finally:
            # After Ctrl-C, too: a service that runs on would still read the job, although no command waits for it.
            if not arguments.keep:
                with suppress(GnosisError, TimeoutError):
                    async with asyncio.timeout(_DELETING_SECONDS):
                        await reader.forget()


def _write(result: bytes, output: Path | None) -> None:
    if output is None:
        write_out(result)
        return
    try:
        output.write_bytes(result)
    except OSError as error:
        raise CommandError(BAD_INPUT, f"{output}: cannot be written: {error.strerror}.") from error


def _summarise(job: Job) -> int:
    """Name the pages to look at; the exit code."""
    if job.pages_to_check:
        pages = ", ".join(map(str, job.pages_to_check))
        say(f"Compare these pages with the document: {pages}. --format json says why.")
    if not job.failed_pages:
        return DONE
    failed = ", ".join(map(str, job.failed_pages))
    say(f"{len(job.failed_pages)} of {len(job.pages)} pages could not be read: {failed}. They are marked in the text.")
    return FAILED


@asynccontextmanager
async def _gnosis(
    config: LocalConfig, environ: Mapping[str, str], interrupts: Interrupts
) -> AsyncIterator[AsyncClient]:
    """A client of the Gnosis OCR that is running, else of a private one that is removed at the end of the block."""
    async with AsyncClient(config.base_url, api_key=config.gnosis_api_key) as client:
        if await client.is_gnosis():
            say(f"using the Gnosis OCR at {config.base_url}")
            yield client
            return
    if config.gnosis_url:
        say(f"no Gnosis answers at {config.gnosis_url}: starting a private one")
    with tempfile.TemporaryDirectory(prefix="gnosis-ocr-", ignore_cleanup_errors=True) as folder:
        async with private_gnosis(Path(folder), config, environ, interrupts) as url, AsyncClient(url) as client:
            yield client
