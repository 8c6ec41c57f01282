"""What can be asked of a job once its document is uploaded."""

import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from gnosis_ocr.errors import ApiError, NotRead
from gnosis_ocr.events import EventSource
from gnosis_ocr.exchange import Answer, Flow, Item, Pause, Request, Stream, ask, ask_for, decode
from gnosis_ocr.models import Job, JobList, JobState, JobSummary, PageEvent, RetryState
from gnosis_ocr.pagedocument import PageDocument

# Seconds between two looks at a job: while it changes, and at most while it does not. Chosen: a page takes longer, and
# four jobs stay below the 600 requests a minute that a user has.
_FIRST_LOOK, _LAST_LOOK = 0.3, 2.0
# Seconds that the service may keep the request until the job changes (`?wait=`), where it does that.
_WAIT_SECONDS = 25.0
# Seconds: what the service may take for a searchable PDF, and a wait for its turn. Chosen.
_MAKING_SECONDS = 600.0
_JSON = {"Accept": "application/json"}
# The answer of a service without events, or with too many watchers: it is asked for the status instead.
_NO_EVENTS = frozenset({404, 429})
# The most that the service lists at a time.
_LISTED = 100


class Watch:
    """Waits for changes of one job's record."""

    def __init__(self, job_id: str, *, patience: float) -> None:
        self._path = f"/api/jobs/{job_id}/status"
        self._patience = patience
        self._etag = ""
        self._look = _FIRST_LOOK

    def next(self) -> Flow[Job]:
        """The record, as soon as it is another than the time before. Raises `ApiError`, `Unreachable`."""
        while True:
            began = time.monotonic()
            answer: Answer = yield from ask(self._request(), patience=self._patience)
            if answer.status != 304:
                self._etag, self._look = answer.headers.get("etag", ""), _FIRST_LOOK
                return decode(Job, answer)
            # A service that keeps the request has waited already.
            yield Pause(max(0.0, began + self._look - time.monotonic()))
            self._look = min(1.5 * self._look, _LAST_LOOK)

    def _request(self) -> Request:
        if not self._etag:
            return Request(method="GET", path=self._path)
        return Request(
            method="GET",
            path=self._path,
            params={"wait": f"{_WAIT_SECONDS:g}"},
            headers={"If-None-Match": self._etag},
            timeout=_WAIT_SECONDS + 10.0,
        )


def watch(job_id: str, *, patience: float) -> Stream[Job]:
    """The record whenever it has changed, until the job has ended."""
    changes = Watch(job_id, patience=patience)
    while True:
        job = yield from changes.next()
        yield Item(job)
        if job.ended:
            return
        yield Pause(_FIRST_LOOK)


def wait(job_id: str, *, patience: float) -> Flow[Job]:
    """The record of the job once it has ended."""
    changes = Watch(job_id, patience=patience)
    while not (job := (yield from changes.next())).ended:
        yield Pause(_FIRST_LOOK)
    return job


def pages(job_id: str, *, patience: float) -> Stream[PageDocument]:
    """Each page once, as soon as it has been read or has failed, until the job has ended."""
    passed: set[int] = set()
    source = EventSource(job_id, patience=patience)
    try:
        while (event := (yield from source.next())) is not None:
            if isinstance(event, PageEvent) and event.page_no not in passed:
                passed.add(event.page_no)
                yield Item((yield from page(job_id, event.page_no, patience=patience)))
        return
    except ApiError as error:
        if error.status not in _NO_EVENTS:
            raise
    changes = Watch(job_id, patience=patience)
    while True:
        job = yield from changes.next()
        for number in sorted(number for number, page in job.pages.items() if page.ended and number not in passed):
            passed.add(number)
            yield Item((yield from page(job_id, number, patience=patience)))
        if job.ended:
            return
        yield Pause(_FIRST_LOOK)


def job(job_id: str, *, patience: float) -> Flow[Job]:
    """The record of the job."""
    return (yield from ask_for(Job, Request(method="GET", path=f"/api/jobs/{job_id}/status"), patience=patience))


def listed(*, status: tuple[str, ...], name: str, patience: float) -> Stream[JobSummary]:
    """The user's jobs, the newest first: those of one of these states, with this in their file's name."""
    wanted = {"limit": str(_LISTED)}
    wanted |= {key: value for key, value in (("status", ",".join(status)), ("q", name)) if value}
    params = wanted
    while True:
        request = Request(method="GET", path="/api/jobs", params=params)
        found = yield from ask_for(JobList, request, patience=patience)
        for summary in found.jobs:
            yield Item(summary)
        if found.next_cursor is None:
            return
        params = {**wanted, "cursor": found.next_cursor}


def page(job_id: str, number: int, *, run: int | None = None, patience: float) -> Flow[PageDocument]:
    """What was read on the page, or why it failed; with `run` in that run."""
    params = {} if run is None else {"run": str(run)}
    request = Request(method="GET", path=f"/api/jobs/{job_id}/pages/{number}", params=params, headers=_JSON)
    return (yield from ask_for(PageDocument, request, patience=patience))


def image(job_id: str, number: int, *, width: int | None, patience: float) -> Flow[bytes]:
    """The image of the page: PNG, or WebP of this width."""
    params = {} if width is None else {"width": str(width)}
    request = Request(method="GET", path=f"/api/jobs/{job_id}/pages/{number}/image", params=params)
    answer: Answer = yield from ask(request, patience=patience)
    return answer.body


def result(
    job_id: str,
    form: str,
    *,
    headers: bool,
    tables: str,
    partial: bool = False,
    save_to: Path | None = None,
    patience: float,
) -> Flow[bytes]:
    """The combined result; empty where it went to `save_to`."""
    params = {"format": form, "headers": "true" if headers else "false", "tables": tables}
    if partial:
        params["partial"] = "true"
    request = Request(
        method="GET",
        path=f"/api/jobs/{job_id}/result",
        params=params,
        timeout=120.0,
        save_to=save_to,
    )
    # A searchable PDF is made when it is first asked for; until then the answer is 503.
    answer: Answer = yield from ask(request, patience=max(patience, _MAKING_SECONDS) if form == "pdf" else patience)
    return answer.body


def text_of(job: Job, *, patience: float) -> Flow[str]:
    """The Markdown of a job that has ended. Raises `NotRead`."""
    try:
        body = yield from result(job.job_id, "md", headers=False, tables="html", patience=patience)
    except ApiError as error:
        if error.status == 409:
            raise NotRead(job) from error
        raise
    return body.decode("utf-8")


def cancel(job_id: str, *, patience: float) -> Flow[JobState]:
    """Stop the job; what was read stays."""
    return (yield from ask_for(JobState, Request(method="POST", path=f"/api/jobs/{job_id}/cancel"), patience=patience))


def retry(
    job_id: str, numbers: Iterable[int] | None, *, engine: str, ocr: str, dpi: int | None, patience: float
) -> Flow[RetryState]:
    """Read pages again, with these options where they are given."""
    asked: dict[str, object] = {"engine": engine or None, "ocr": ocr or None, "dpi": dpi}
    if numbers is not None:
        asked["pages"] = tuple(numbers)
    request = Request(
        method="POST",
        path=f"/api/jobs/{job_id}/retry",
        headers={"Content-Type": "application/json"},
        body=msgspec.json.encode({name: value for name, value in asked.items() if value is not None}),
    )
    # Not repeated when its answer is lost: the new run has begun then, and a second request would be refused.
    return (yield from ask_for(RetryState, request, patience=patience, repeat=False))


def delete(job_id: str, *, patience: float) -> Flow[None]:
    """Delete every file of the job."""
    yield from ask(Request(method="DELETE", path=f"/api/jobs/{job_id}"), patience=patience)
