"""Pages read again with options of their own: what the interface promises, in this process and with real services."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pymupdf
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # publishes no types

from libs import workerstate
from libs.jobstate import active
from libs.jobstate import intake as intakes
from libs.jobstate.commit import commit, create, load
from libs.jobstate.evidence import read_versioned, save_outcome
from libs.jobstate.intake import PageOptions
from libs.jobstate.job import Job
from libs.jobstate.outcome import PageOutcome
from libs.storage import layout
from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles, create_session
from services.web.config import WebConfig
from services.web.outputs.page import schema
from tests.documents import pdf
from tests.eventstream import Follower
from tests.inprocess import ClientInProcess, configured, outward_client
from tests.jobs import INTAKE, outcome
from tests.running import Running, running
from tests.scripted import Script

OWNER = {"X-User-Email": INTAKE.user_email}


class Retries:
    """A job of three pages that were read, the third of which failed, and its owner's requests."""

    def __init__(self, client: ClientInProcess, files: SessionFiles) -> None:
        self.client = client
        self.files = files
        self.address = f"/api/jobs/{files.session_id}"

    async def post(self, **body: Any) -> httpx.Response:
        return await self.client.post(f"{self.address}/retry", json=body, headers=OWNER)

    async def page(self, query: str = "", accept: str = "application/json") -> httpx.Response:
        return await self.client.get(f"{self.address}/pages/1{query}", headers={**OWNER, "Accept": accept})

    async def read(self, new: PageOutcome) -> None:
        """As the worker does that reads page 1 in the job's run."""
        _, generation = await read_versioned(self.files, 1)
        saved = await save_outcome(self.files, new, generation)
        at = await self.files.store.now()
        await commit(self.files, lambda job: job.settled({1: saved.brief()}, at).combining(at).end(at))


@asynccontextmanager
async def served(*, active_jobs_per_user: int = 20) -> AsyncIterator[Retries]:
    store = MemoryStore()
    engines = workerstate.WorkerState(engines=("auto", "a", "b"))
    await store.write(layout.WORKER_STATE, workerstate.encode(engines))
    files = await create_session(store, INTAKE.user_email)
    at = await store.now()
    asked = msgspec.structs.replace(INTAKE, session_id=files.session_id, created_at=at)
    job = Job.opened(asked).load(at).plan((1, 2, 3), total_pages=3, batch_size=3, parallelism=1, at=at)
    job = job.rendered(dict.fromkeys((1, 2, 3), at), at).extracted(at)
    await store.write(files.intake_path, intakes.encode(asked))
    for page_no in (1, 2, 3):
        new = outcome(page_no, f"First {page_no}", error="Torn." if page_no == 3 else None)
        saved = await save_outcome(files, msgspec.structs.replace(new, engine="a"), 0)
        job = job.settled({page_no: saved.brief()}, at)
    await create(files, job.combining(at).end(at))
    config = WebConfig(active_jobs_per_user=active_jobs_per_user)
    async with outward_client() as outward, configured(config, store, outward) as client:
        yield Retries(client, files)


@pytest.fixture
async def retries() -> AsyncIterator[Retries]:
    async with served() as retries:
        yield retries


async def test_both_readings_of_a_page_can_be_had_and_the_newer_one_is_its_result(retries: Retries) -> None:
    answer = await retries.post(pages=[1], engine="b", ocr="force")
    assert (answer.status_code, answer.json()["run"]) == (202, 2)
    during = await retries.page()
    assert (during.json()["text"], during.json()["run"]) == ("First 1", 1), "until the new one is saved"

    await retries.read(msgspec.structs.replace(outcome(1, "Second 1", run=2), engine="b"))
    page = (await retries.page()).json()
    Draft202012Validator(schema()).validate(page)
    assert (page["text"], page["run"], page["engine"], page["image"]) == ("Second 1", 2, "b", "page_001.png")
    assert [(one["run"], one["status"], one["engine"]) for one in page["readings"]] == [
        (1, "completed", "a"),
        (2, "completed", "b"),
    ]
    first = (await retries.page("?run=1")).json()
    assert (first["text"], first["run"], first["engine"]) == ("First 1", 1, "a")
    assert first["readings"] == page["readings"]
    assert (await retries.page("?run=1", "text/markdown")).text == "First 1"
    assert "First 1" in (await retries.page("?run=1", "text/html")).text
    assert (await retries.page("?run=1")).headers["ETag"] != during.headers["ETag"], "its list has grown"


async def test_a_page_that_cannot_be_read_again_keeps_its_reading_and_says_so(retries: Retries) -> None:
    await retries.post(pages=[1], engine="b")
    await retries.read(msgspec.structs.replace(outcome(1, run=2, error="Too faint."), engine="b"))
    page = (await retries.page()).json()
    assert (page["text"], page["run"], page["status"], page["engine"]) == ("First 1", 1, "completed", "a")
    assert page["warnings"] == ["Run 2 could not read the page again, so the reading of run 1 is kept. Too faint."]
    assert [(one["run"], one["status"], one["error"]) for one in page["readings"]] == [
        (1, "completed", None),
        (2, "failed", "Too faint."),
    ]
    failed = await retries.page("?run=2")
    assert (failed.json()["status"], failed.json()["error"]) == ("failed", "Too faint.")
    refused = await retries.page("?run=2", "text/markdown")
    assert (refused.status_code, refused.json()["detail"]) == (409, "Too faint.")
    status = (await retries.client.get(f"{retries.address}/status", headers=OWNER)).json()
    assert status["pages"]["1"]["reread"] == {"engine": "b", "read_in": 1, "error": "Too faint."}
    assert status["pages"]["1"]["status"] == "completed"


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [("?run=2", 404, "These runs have: 1."), ("?run=0", 422, "lists runs"), ("?run=x", 422, ""), ("?run=", 422, "")],
)
async def test_a_run_that_did_not_read_the_page_is_refused_with_a_hint(
    retries: Retries, query: str, status: int, said: str
) -> None:
    answer = await retries.page(query)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["hint"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"engine": "c"}, "There is no engine of that name."),
        ({"ocr": "sometimes"}, "ocr is one of: auto, force, text."),
        ({"dpi": 71}, "dpi is a whole number from 72 to 400."),
        ({"dpi": -1}, "dpi is a whole number from 72 to 400."),
        ({"dpi": 401}, "dpi is a whole number from 72 to 400."),
        ({"dpi": "150"}, ""),
        ({"dpi": 150.5}, ""),
        ({"engine": ["b"]}, ""),
        ({"languages": "de"}, ""),
    ],
)
async def test_options_are_checked_as_those_of_an_upload(retries: Retries, body: dict[str, Any], said: str) -> None:
    before = await load(retries.files)
    answer = await retries.post(pages=[1], **body)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]
    assert await load(retries.files) == before


async def test_options_reach_the_record_and_the_mark_beside_the_reading(retries: Retries) -> None:
    await retries.post(pages=[1], engine="b", dpi=300)
    job = await load(retries.files)
    assert (job.options_of(1).engine, job.options_of(1).dpi, job.pages[1].drawn) == ("b", 300, False)
    assert job.options_of(3) == job.options, "it was not named, and is not read"
    assert job.pages[3].run == 1
    marked, _ = await read_versioned(retries.files, 1)
    assert marked is not None
    assert marked.again is not None
    assert (marked.text, marked.again.run, marked.again.options) == ("First 1", 2, PageOptions(engine="b", dpi=300))
    assert marked.due_run == 2, "a record that is made anew begins after it"


async def test_a_repeated_request_starts_no_second_run(retries: Retries) -> None:
    first, second = await retries.post(pages=[1], engine="b"), await retries.post(pages=[1], engine="b")
    assert (first.status_code, second.status_code) == (202, 409)
    assert "still running" in second.json()["detail"]
    assert (await load(retries.files)).run == 2


async def test_of_two_requests_at_once_that_differ_one_is_refused(retries: Retries) -> None:
    answers = await asyncio.gather(*(retries.post(pages=[1], engine=engine) for engine in ("a", "b")))
    taken = [engine for engine, answer in zip("ab", answers, strict=True) if answer.status_code == 202]
    assert sorted(answer.status_code for answer in answers) == [202, 409]
    job = await load(retries.files)
    assert (job.run, [job.options_of(1).engine]) == (2, taken)


async def test_a_retry_counts_as_an_active_job() -> None:
    async with served(active_jobs_per_user=1) as retries:
        other = await create_session(retries.files.store, INTAKE.user_email)
        await active.announce(other, 1)
        refused = await retries.post(pages=[1], engine="b")
        assert (refused.status_code, refused.json()["title"]) == (429, "Too many active jobs")
        assert refused.headers["Retry-After"]
        assert (await load(retries.files)).run == 1
        await other.store.delete(other.active_path)
        assert (await retries.post(pages=[1], engine="b")).status_code == 202


async def test_a_cancelled_retry_leaves_the_result_as_it_was(retries: Retries) -> None:
    await retries.post(pages=[1], engine="b")
    assert (await retries.client.post(f"{retries.address}/cancel", headers=OWNER)).status_code == 202
    assert (await retries.page()).json()["text"] == "First 1"
    text = (await retries.client.get(f"{retries.address}/result", headers=OWNER)).text
    assert text == "<!-- page 1 -->\nFirst 1\n\n<!-- page 2 -->\nFirst 2\n\n<!-- page 3 failed: Torn. -->\n"
    # A worker that had not noticed ends its reading all the same.
    saved = await save_outcome(retries.files, outcome(1, "Late 1", run=2), (await read_versioned(retries.files, 1))[1])
    assert (saved.text, [one.run for one in saved.history]) == ("Late 1", [1, 2])
    answer = await retries.post(pages=[3])
    assert (answer.status_code, answer.json()["run"]) == (202, 3)
    job = await load(retries.files)
    assert (job.pages[1].status.value, job.pages[1].run) == ("completed", 2), "it was found"


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A PDF of two pages that are pictures: they have no text of their own."""
    source, path = pdf(tmp_path / "source.pdf", 2), tmp_path / "scan.pdf"
    with pymupdf.open(source) as printed, pymupdf.open() as document:
        for page in printed:
            picture = page.get_pixmap(dpi=150)
            document.new_page(width=page.rect.width, height=page.rect.height).insert_image(
                page.rect, stream=picture.tobytes("png")
            )
        document.save(path)
    return path


def asked(services: Running, job_id: str, **body: Any) -> httpx.Response:
    return services.client.post(f"{services.url}/api/jobs/{job_id}/retry", json=body)


def is_up(services: Running) -> bool:
    with suppress(httpx.TransportError):
        return services.get("/health").status_code == 200
    return False


def reading(services: Running, job_id: str, page_no: int, run: int | None = None) -> dict[str, Any]:
    query = "" if run is None else f"?run={run}"
    answer = services.get(f"/api/jobs/{job_id}/pages/{page_no}{query}", Accept="application/json")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_page_is_read_by_one_engine_and_then_by_another(tmp_path: Path, scan: Path) -> None:
    with running(tmp_path, script=Script()) as services:
        job_id = services.upload(scan)
        services.ended(job_id)
        first = reading(services, job_id, 2)
        assert first["engine"] == "scripted"

        assert asked(services, job_id, pages=[2], engine="rapidocr", ocr="force").status_code == 202
        job = services.ended(job_id)
        second = reading(services, job_id, 2)
        assert (job["status"], second["engine"], second["source"], second["run"]) == ("completed", "rapidocr", "ocr", 2)
        assert "test document" in second["text"]
        assert reading(services, job_id, 2, run=1)["text"] == first["text"]
        assert reading(services, job_id, 1)["run"] == 1, "it was not named"
        combined = services.get(f"/api/jobs/{job_id}/result").text
        assert second["text"] in combined
        assert first["text"] not in combined

        # A page without text of its own cannot be read with ocr=text: what was read last is kept.
        assert asked(services, job_id, pages=[2], engine="rapidocr", ocr="text").status_code == 202
        job = services.ended(job_id)
        third = reading(services, job_id, 2)
        assert (job["status"], job["pages"]["2"]["status"], third["text"]) == ("completed", "completed", second["text"])
        assert job["pages"]["2"]["reread"]["read_in"] == 2
        assert "no text of its own" in job["pages"]["2"]["reread"]["error"]
        assert [one["status"] for one in third["readings"]] == ["completed", "completed", "failed"]
        assert services.get(f"/api/jobs/{job_id}/result").text == combined
        for form in ("json", "html", "zip", "pdf"):
            assert services.get(f"/api/jobs/{job_id}/result?format={form}").status_code == 200


@pytest.mark.slow
def test_a_page_is_drawn_anew_at_another_resolution_through_deaths_of_both_services(tmp_path: Path) -> None:
    with running(tmp_path, script=Script(seconds=0.5)) as services:
        job_id = services.upload(pdf(tmp_path / "three.pdf", 3), dpi="72")
        services.ended(job_id)
        first = {n: reading(services, job_id, n) for n in (1, 2, 3)}
        before = services.read_counts()
        services.kill("worker")
        assert asked(services, job_id, pages=[2, 3], dpi=200).status_code == 202
        services.kill("web")
        services.start("web")
        services.until(lambda: is_up(services), "web to answer")
        assert reading(services, job_id, 2)["text"] == first[2]["text"], "while nothing can read it again"
        services.start("worker")
        services.until(lambda: services.read_counts().get(2, 0) > before[2], "the page to be begun")
        services.kill("worker")
        assert reading(services, job_id, 3)["text"]
        services.start("worker")
        job = services.ended(job_id)
        assert (job["status"], job["run"]) == ("completed", 2)
        for page_no in (2, 3):
            second = reading(services, job_id, page_no)
            assert (second["dpi"], second["image"]) == (200, f"page_{page_no:03}_200dpi.png")
            assert second["text"] != first[page_no]["text"], "the engine's text is that of the image"
            assert reading(services, job_id, page_no, run=1) == first[page_no] | {"readings": second["readings"]}
            images = [
                services.get(f"/storage/{job['user_hash']}/{job_id}/{one['image']}") for one in (first[page_no], second)
            ]
            assert [image.status_code for image in images] == [200, 200]
            assert images[0].content != images[1].content
        assert reading(services, job_id, 1) == first[1]
        folder = services.storage / "users" / job["user_hash"] / job_id
        names = [page[name] for page in job["pages"].values() for name in ("image", "result_file")]
        assert [name for name in names if not (folder / name).is_file()] == []


def test_events_tell_the_new_reading_and_a_deletion_takes_all_of_them(tmp_path: Path) -> None:
    with running(tmp_path, script=Script()) as services:
        job_id = services.upload(pdf(tmp_path / "two.pdf", 2))
        services.ended(job_id)
        with Follower(services.url, job_id) as follower:
            while not follower.connect():
                pass
            told = len(follower.pages())
            assert asked(services, job_id, pages=[1], ocr="force").status_code == 202
            while not follower.connect():
                pass
            assert follower.pages()[told:] == [(1, 2)]
            assert next(e for e in reversed(follower.events) if e.name == "page").data["retry_error"] is None
        assert list(services.storage.rglob("page_001_run_1.json"))
        assert services.client.delete(f"{services.url}/api/jobs/{job_id}").status_code == 204
        assert list(services.storage.rglob("page_*")) == []
