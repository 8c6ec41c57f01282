"""The blocking client."""

import os
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack
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


class Client:
    """One Gnosis OCR. Every method raises `ApiError` for a refusal and `Unreachable` where nothing answers.

    Threads may share it. Close it, or use it as a context manager.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        user: str | None = None,
        patience: float = 60.0,
        http: httpx.Client | None = None,
    ) -> None:
        """`api_key`: where the service asks for one; `user`: an e-mail address, where it trusts it (local mode).

        `patience`: seconds for which a request is repeated after a fault that may pass, such as a restart of the
        service or a limit. `http`: a client of your own (proxies, certificates), which the caller closes.
        """
        self._connection = Connection(base_url, api_key=api_key, user=user)
        self._patience = patience
        self._own = http is None
        self._http = http or httpx.Client(trust_env=self._connection.trust_env)

    @property
    def base_url(self) -> str:
        """The address of the service."""
        return self._connection.base_url

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        if self._own:
            self._http.close()

    def version(self, *, patience: float | None = None) -> Version:
        """What answers at the address."""
        request = Request(method="GET", path="/version", timeout=5.0)
        return self._run(ask_for(Version, request, patience=self._patience if patience is None else patience))

    def is_gnosis(self) -> bool:
        """Whether a Gnosis OCR answers at the address now."""
        try:
            return self.version(patience=0.0).name == "gnosis-ocr"
        except GnosisError:
            return False

    def upload(
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
        """Upload a path, bytes or an open binary file; the id of its job. Raises also `OSError`, `UploadFailed`.

        `pages` such as "1-5,8,12-", `dpi` from 72 to 400, `engine` by name, `ocr` one of "auto", "force", "text",
        `languages` such as "en,de", `password` of an encrypted PDF, `webhook` an address that is told of the job's end
        (WEBHOOK_HOSTS): what is left out is the service's default. `on_progress` is called before each piece; its
        `upload_id`, given as `resume`, continues the upload in another process.
        """
        options = upload_options(
            pages=pages, dpi=dpi, engine=engine, ocr=ocr, languages=languages, password=password, webhook=webhook
        )
        with opened(document, filename) as source:
            return self._run(upload(source, options, resume=resume, on_progress=on_progress, patience=self._patience))

    def upload_from(
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
        """Let the service fetch the document at an address whose host it allows (FETCH_HOSTS); the id of its job.

        Options as in `upload`.
        """
        options = upload_options(
            pages=pages, dpi=dpi, engine=engine, ocr=ocr, languages=languages, password=password, webhook=webhook
        )
        return self._run(upload_from(url, options, patience=self._patience))

    def read(
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
        """Upload a document, wait, and return its Markdown. Pages that failed are marked in it.

        The job is deleted afterwards unless `keep`. Options as in `upload`; raises also `NotRead`.
        """
        job_id = self.upload(
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
            return self._run(jobs.text_of(self.wait(job_id), patience=self._patience))
        finally:
            if not keep:
                self.delete(job_id)

    def job(self, job_id: str) -> Job:
        """The record of the job."""
        return self._run(jobs.job(job_id, patience=self._patience))

    def jobs(self, *, status: tuple[str, ...] = (), name: str = "") -> Iterator[JobSummary]:
        """The user's jobs, the newest first; only those of these states, or with `name` in their file's name."""
        return self._iterate(jobs.listed(status=status, name=name, patience=self._patience))

    def events(self, job_id: str) -> Iterator[Event]:
        """What happens to the job, each page the moment it is saved, until the job has ended.

        A break is bridged without a gap. Raises `ApiError` 404 also where the service is too old to have events.
        """
        return self._iterate(events(job_id, patience=self._patience))

    def watch(self, job_id: str) -> Iterator[Job]:
        """The record whenever it has changed, until the job has ended."""
        return self._iterate(jobs.watch(job_id, patience=self._patience))

    def wait(self, job_id: str) -> Job:
        """The record of the job once it has ended."""
        return self._run(jobs.wait(job_id, patience=self._patience))

    def pages(self, job_id: str) -> Iterator[PageDocument]:
        """Each page once, as soon as it has been read or has failed, until the job has ended."""
        return self._iterate(jobs.pages(job_id, patience=self._patience))

    def page(self, job_id: str, number: int, *, run: int | None = None) -> PageDocument:
        """What was read on the page, or why it failed; with `run` in that run, one of `PageDocument.readings`."""
        return self._run(jobs.page(job_id, number, run=run, patience=self._patience))

    def image(self, job_id: str, number: int, *, width: int | None = None) -> bytes:
        """The image that the page was read from, a PNG; with `width` in pixels (64 to 1600) a smaller one as WebP."""
        return self._run(jobs.image(job_id, number, width=width, patience=self._patience))

    def result(
        self, job_id: str, form: str = "md", *, headers: bool = False, tables: str = "html", partial: bool = False
    ) -> bytes:
        """The combined result in one of `models.FORMS`, in memory; `download` suits large ones.

        `headers`: keep running heads and page numbers in the text. `tables`: "html", or "pipes" in Markdown.
        `partial`: the result of a job that still runs will do, with marks in place of pages (not as "zip" or "pdf").
        """
        return self._run(
            jobs.result(job_id, form, headers=headers, tables=tables, partial=partial, patience=self._patience)
        )

    def download(
        self,
        job_id: str,
        target: str | os.PathLike[str],
        form: str = "md",
        *,
        headers: bool = False,
        tables: str = "html",
    ) -> Path:
        """Write the combined result to the file `target`, whole or not at all. As `result`; raises also `OSError`."""
        path = Path(target)
        self._run(jobs.result(job_id, form, headers=headers, tables=tables, save_to=path, patience=self._patience))
        return path

    def cancel(self, job_id: str) -> JobState:
        """Stop the job; what was read stays."""
        return self._run(jobs.cancel(job_id, patience=self._patience))

    def retry(
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
        return self._run(jobs.retry(job_id, pages, engine=engine, ocr=ocr, dpi=dpi, patience=self._patience))

    def delete(self, job_id: str) -> None:
        """Delete every file of the job."""
        self._run(jobs.delete(job_id, patience=self._patience))

    def _run(self, flow: Flow[T]) -> T:
        outcome: Any = None
        fault: Exception | None = None
        while True:
            try:
                step = flow.send(outcome) if fault is None else flow.throw(fault)
            except StopIteration as end:
                value: T = end.value
                return value
            outcome, fault = self._outcome(step)

    def _iterate(self, stream: Stream[T]) -> Iterator[T]:
        outcome: Any = None
        fault: Exception | None = None
        with ExitStack() as listening:
            while True:
                try:
                    step = stream.send(outcome) if fault is None else stream.throw(fault)
                except StopIteration:
                    return
                if isinstance(step, Item):
                    yield step.value
                    outcome, fault = None, None
                    continue
                outcome, fault = self._outcome(step)
                if isinstance(outcome, Answer) and outcome.lines is not None:
                    listening.close()
                    listening.callback(outcome.lines.close)

    def _outcome(self, step: Step) -> tuple[Any, Exception | None]:
        """What the step gave, or the fault that the flow has to decide about."""
        try:
            match step:
                case Pause():
                    time.sleep(step.seconds)
                    return None, None
                case ReadFile():
                    step.file.seek(step.offset)
                    return step.file.read(step.size), None
                case ReadLine():
                    return next(step.lines, None), None
                case Request():
                    return self._send(step), None
        except httpx.RequestError as error:
            return None, self._connection.unreachable(error)
        except OSError as error:
            return None, error

    def _send(self, request: Request) -> Answer:
        answer = self._http.send(self._connection.request(self._http, request), stream=True)
        if request.listen and answer.status_code == 200:
            return Answer(status=200, headers=answer.headers, body=b"", lines=_lines(answer))
        try:
            if request.save_to is None or answer.status_code >= 400:
                answer.read()
            else:
                self._save(answer, request.save_to)
                return Answer(status=answer.status_code, headers=answer.headers, body=b"")
        finally:
            answer.close()
        return Answer(status=answer.status_code, headers=answer.headers, body=answer.content)

    def _save(self, answer: httpx.Response, target: Path) -> None:
        unfinished = partial(target)
        try:
            with unfinished.open("wb") as file:
                for chunk in answer.iter_bytes():
                    file.write(chunk)
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)


def _lines(answer: httpx.Response) -> Generator[str, None, None]:
    """The lines of the body. The connection is closed with the generator."""
    try:
        yield from answer.iter_lines()
    finally:
        answer.close()
