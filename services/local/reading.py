"""Reads one document with a Gnosis OCR, or goes on where an earlier command was interrupted."""

import asyncio
import hashlib
from pathlib import Path

import msgspec

from gnosis_ocr import ApiError, AsyncClient, Job, NotRead, Progress
from services.local.documents import Document
from services.local.ledger import Entry, Ledger
from services.local.terminal import Display, Phase

# A document whose job ended like this is uploaded again by the next command.
_WITHOUT_RESULT = ("failed", "cancelled")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How documents are read. What is empty is the service's default."""

    #: Such as "1-5,8,12-".
    pages: str = ""
    dpi: int | None = None
    engine: str = ""
    #: "auto", "force" or "text".
    ocr: str = ""
    #: Codes separated by commas.
    languages: str = ""


class Reader:
    """Reads documents, each content once, however often it is named."""

    def __init__(
        self, client: AsyncClient, ledger: Ledger, display: Display, options: Options, *, password: str = ""
    ) -> None:
        """`password` is no option: what is begun is stored by the digest of the options, and it is stored nowhere."""
        self._client = client
        self._ledger = ledger
        self._display = display
        self._options = options
        self._password = password
        self._turns: dict[str, asyncio.Lock] = {}

    async def read(self, document: Document) -> Job:
        """Upload the document, unless that is done, and wait; the record of its job, which has a result.

        Raises `GnosisError`, `NotRead` among them, and `OSError`.
        """
        key = await asyncio.to_thread(_key, document.path, self._options)
        async with self._turns.setdefault(key, asyncio.Lock()):
            entry = self._ledger.find(key) or Entry()
            if not entry.job_id or not await self._is_usable(entry.job_id):
                entry = await self._upload(key, document, entry)
            job = await self._ended(document, entry.job_id)
        if job.status in _WITHOUT_RESULT:
            raise NotRead(job)
        return job

    def keep(self) -> None:
        """Let no later command delete the jobs that were read. Raises `OSError`."""
        for key in self._turns:
            if (entry := self._ledger.find(key)) is not None:
                self._ledger.put(key, msgspec.structs.replace(entry, kept=True))

    async def forget(self) -> None:
        """Delete the jobs that were read, and forget them, but for those to keep. Raises `GnosisError`, `OSError`."""
        for key in self._turns:
            entry = self._ledger.find(key)
            if entry is not None and entry.kept:
                continue
            if entry is not None and entry.job_id:
                try:
                    await self._client.delete(entry.job_id)
                except ApiError as error:
                    if error.status != 404:
                        raise
            self._ledger.remove(key)

    async def _is_usable(self, job_id: str) -> bool:
        """Whether the job is there and has, or will have, a result."""
        try:
            return (await self._client.job(job_id)).status not in _WITHOUT_RESULT
        except ApiError as error:
            if error.status == 404:
                return False
            raise

    async def _upload(self, key: str, document: Document, entry: Entry) -> Entry:
        resume = "" if entry.job_id else entry.upload_id

        def note(progress: Progress) -> None:
            nonlocal entry
            if entry.upload_id != progress.upload_id:
                entry = Entry(upload_id=progress.upload_id)
                self._ledger.put(key, entry)
            self._display.show(document.name, Phase(name="Uploading", done=progress.sent, total=progress.size))

        options = self._options
        job_id = await self._client.upload(
            document.path,
            filename=Path(document.name).name,
            pages=options.pages,
            dpi=options.dpi,
            engine=options.engine,
            ocr=options.ocr,
            languages=options.languages,
            password=self._password,
            resume=resume or None,
            on_progress=note,
        )
        entry = Entry(upload_id=entry.upload_id, job_id=job_id)
        self._ledger.put(key, entry)
        return entry

    async def _ended(self, document: Document, job_id: str) -> Job:
        async for job in self._client.watch(job_id):
            if job.status not in _WITHOUT_RESULT:
                self._display.show(document.name, phase(job))
        return job


def phase(job: Job) -> Phase:
    """How far the job is: pages are extracted first, then read."""
    pages = job.pages.values()
    total = len(pages) or None
    if job.current_step in ("queued", "extracting_images"):
        return Phase(name="Extracting", done=sum(1 for page in pages if page.image), total=total)
    return Phase(name="Reading", done=sum(1 for page in pages if page.ended), total=total)


def _key(path: Path, options: Options) -> str:
    """What names the work: the digest of the document's bytes and of the options."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(msgspec.json.encode(options))
    return digest.hexdigest()
