"""The asynchronous client: the methods of `Client`, to be awaited."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import httpx

from gnosis_ocr import jobs
from gnosis_ocr.connection import DEFAULT_URL, Connection, partial
from gnosis_ocr.errors import GnosisError
from gnosis_ocr.events import events
from gnosis_ocr.exchange import Answer, Flow, Item, Pause, ReadFile, ReadLine, Request, Step, Stream, ask_for
from gnosis_ocr.models import Event, Job, JobState, JobSummary, RetryState, Version
from gnosis_ocr.pagedocument import PageDocument
from gnosis_ocr.source import Document, opened
from gnosis_ocr.upload import OnProgress, upload, upload_from, upload_options

T = TypeVar("T")


class AsyncClient:
    """One Gnosis OCR. Every method raises `ApiError` for a refusal and `Unreachable` where nothing answers.

    Close it, or use it as an asynchronous context manager.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        user: str | None = None,
        patience: float = 60.0,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        """As `Client`."""
        self._connection = Connection(base_url, api_key=api_key, user=user)
        self._patience = patience
        self._own = http is None
        self._http = http or httpx.AsyncClient(trust_env=self._connection.trust_env)

    @property
    def base_url(self) -> str:
        """The address of the service."""
        return self._connection.base_url

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._own:
            await self._http.aclose()

    async def version(self, *, patience: float | None = None) -> Version:
        """What answers at the address."""
        request = Request(method="GET", path="/version", timeout=5.0)
        return await self._run(ask_for(Version, request, patience=self._patience if patience is None else patience))

    async def is_gnosis(self) -> bool:
        """Whether a Gnosis OCR answers at the address now."""
        try:
            return (await self.version(patience=0.0)).name == "gnosis-ocr"
        except GnosisError:
            return False

    async def upload(
        self,
        document: Document,
        *,
        filename: str | None = None,
        pages: str = "",
        dpi: int | None = None,
        engine: str = "",
        ocr: str = "",
        languages: str = "",
        password: str = "",
        webhook: str = "",
        resume: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> str:
        """Upload a path, bytes or an open binary file; the id of its job. Options and errors as of `Client.upload`."""
        options = upload_options(
            pages=pages, dpi=dpi, engine=engine, ocr=ocr, languages=languages, password=password, webhook=webhook
        )
        with opened(document, filename) as source:
            return await self._run(
                upload(source, options, resume=resume, on_progress=on_progress, patience=self._patience)
            )

    async def upload_from(
        self,
        url: str,
        *,
        pages: str = "",
        dpi: int | None = None,
        engine: str = "",
        ocr: str = "",
        languages: str = "",
        password: str = "",
        webhook: str = "",
    ) -> str:
        """Let the service fetch the document; the id of its job. Options and errors as of `Client.upload_from`."""
        options = upload_options(
            pages=pages, dpi=dpi, engine=engine, ocr=ocr, languages=languages, password=password, webhook=webhook
        )
        return await self._run(upload_from(url, options, patience=self._patience))

    async def read(
        self,
        document: Document,
        *,
        filename: str | None = None,
        pages: str = "",
        dpi: int | None = None,
        engine: str = "",
        ocr: str = "",
        languages: str = "",
        password: str = "",
        keep: bool = False,
    ) -> str:
        """Upload a document, wait, and return its Markdown, as `Client.read`."""
        job_id = await self.upload(
            document,
            filename=filename,
            pages=pages,
            dpi=dpi,
            engine=engine,
            ocr=ocr,
            languages=languages,
            password=password,
        )
        try:
            return await self._run(jobs.text_of(await self.wait(job_id), patience=self._patience))
        finally:
            if not keep:
                await self.delete(job_id)

    async def job(self, job_id: str) -> Job:
        """The record of the job."""
        return await self._run(jobs.job(job_id, patience=self._patience))

    def jobs(self, *, status: tuple[str, ...] = (), name: str = "") -> AsyncIterator[JobSummary]:
        """The user's jobs, the newest first; only those of these states, or with `name` in their file's name."""
        return self._iterate(jobs.listed(status=status, name=name, patience=self._patience))

    def events(self, job_id: str) -> AsyncIterator[Event]:
        """What happens to the job, each page the moment it is saved, until the job has ended.

        A break is bridged without a gap. Raises `ApiError` 404 also where the service is too old to have events.
        """
        return self._iterate(events(job_id, patience=self._patience))

    def watch(self, job_id: str) -> AsyncIterator[Job]:
        """The record whenever it has changed, until the job has ended."""
        return self._iterate(jobs.watch(job_id, patience=self._patience))

    async def wait(self, job_id: str) -> Job:
        """The record of the job once it has ended."""
        return await self._run(jobs.wait(job_id, patience=self._patience))

    def pages(self, job_id: str) -> AsyncIterator[PageDocument]:
        """Each page once, as soon as it has been read or has failed, until the job has ended."""
        return self._iterate(jobs.pages(job_id, patience=self._patience))

    async def page(self, job_id: str, number: int, *, run: int | None = None) -> PageDocument:
        """What was read on the page, or why it failed; with `run` in that run, one of `PageDocument.readings`."""
        return await self._run(jobs.page(job_id, number, run=run, patience=self._patience))

    async def image(self, job_id: str, number: int, *, width: int | None = None) -> bytes:
        """The image that the page was read from, a PNG; with `width` in pixels (64 to 1600) a smaller one as WebP."""
        return await self._run(jobs.image(job_id, number, width=width, patience=self._patience))

    async def result(
        self, job_id: str, form: str = "md", *, headers: bool = False, tables: str = "html", partial: bool = False
    ) -> bytes:
        """The combined result in one of `models.FORMS`, in memory, as `Client.result`."""
        return await self._run(
            jobs.result(job_id, form, headers=headers, tables=tables, partial=partial, patience=self._patience)
        )

    async def download(
        self,
        job_id: str,
        target: str | os.PathLike[str],
        form: str = "md",
        *,
        headers: bool = False,
        tables: str = "html",
    ) -> Path:
        """Write the combined result to the file `target`, whole or not at all, as `Client.download`."""
        path = Path(target)
        await self._run(
            jobs.result(job_id, form, headers=headers, tables=tables, save_to=path, patience=self._patience)
        )
        return path

    async def cancel(self, job_id: str) -> JobState:
        """Stop the job; what was read stays."""
        return await self._run(jobs.cancel(job_id, patience=self._patience))

    async def retry(
        self,
        job_id: str,
        pages: Iterable[int] | None = None,
        *,
        engine: str = "",
        ocr: str = "",
        dpi: int | None = None,
    ) -> RetryState:
        """Read these pages again; without any, those that failed.

        With `engine`, `ocr` or `dpi` otherwise than the upload asked. A page keeps its text until it has another.
        """
        return await self._run(jobs.retry(job_id, pages, engine=engine, ocr=ocr, dpi=dpi, patience=self._patience))

    async def delete(self, job_id: str) -> None:
        """Delete every file of the job."""
        await self._run(jobs.delete(job_id, patience=self._patience))

    async def _run(self, flow: Flow[T]) -> T:
        outcome: Any = None
        fault: Exception | None = None
        while True:
            try:
                step = flow.send(outcome) if fault is None else flow.throw(fault)
            except StopIteration as end:
                value: T = end.value
                return value
            outcome, fault = await self._outcome(step)

    async def _iterate(self, stream: Stream[T]) -> AsyncIterator[T]:
        outcome: Any = None
        fault: Exception | None = None
        async with AsyncExitStack() as listening:
            while True:
                try:
                    step = stream.send(outcome) if fault is None else stream.throw(fault)
                except StopIteration:
                    return
                if isinstance(step, Item):
                    yield step.value
                    outcome, fault = None, None
                    continue
                outcome, fault = await self._outcome(step)
                if isinstance(outcome, Answer) and outcome.lines is not None:
                    await listening.aclose()
                    listening.push_async_callback(outcome.lines.aclose)

    async def _outcome(self, step: Step) -> tuple[Any, Exception | None]:
        """What the step gave, or the fault that the flow has to decide about."""
        try:
            match step:
                case Pause():
                    await asyncio.sleep(step.seconds)
                    return None, None
                case ReadFile():
                    return await asyncio.to_thread(_read, step), None
                case ReadLine():
                    return await anext(step.lines, None), None
                case Request():
                    return await self._send(step), None
        except httpx.RequestError as error:
            return None, self._connection.unreachable(error)
        except OSError as error:
            return None, error

    async def _send(self, request: Request) -> Answer:
        answer = await self._http.send(self._connection.request(self._http, request), stream=True)
        if request.listen and answer.status_code == 200:
            return Answer(status=200, headers=answer.headers, body=b"", lines=_lines(answer))
        try:
            if request.save_to is None or answer.status_code >= 400:
                await answer.aread()
            else:
                await self._save(answer, request.save_to)
                return Answer(status=answer.status_code, headers=answer.headers, body=b"")
        finally:
            await answer.aclose()
        return Answer(status=answer.status_code, headers=answer.headers, body=answer.content)

    async def _save(self, answer: httpx.Response, target: Path) -> None:
        unfinished = partial(target)
        try:
            with unfinished.open("wb") as file:
                async for chunk in answer.aiter_bytes():
                    await asyncio.to_thread(file.write, chunk)
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)


def _read(step: ReadFile) -> bytes:
    step.file.seek(step.offset)
    return step.file.read(step.size)


async def _lines(answer: httpx.Response) -> AsyncGenerator[str, None]:
    """The lines of the body. The connection is closed with the generator."""
    try:
        async for line in answer.aiter_lines():
            yield line
    finally:
        await answer.aclose()
