"""The result of a job of which not every page was read: cancelled, or at work."""

import io
import zipfile

import msgspec
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # publishes no types

from libs.jobstate import intake as intakes
from libs.jobstate import outcome as outcomes
from libs.jobstate import record
from libs.jobstate.commit import commit
from libs.jobstate.job import Job
from libs.storage.session import SessionFiles
from tests.integration.web.jobs.results import OWNER, PAGES, Results, cancel


async def test_a_cancelled_job_has_the_pages_that_were_read(results: Results) -> None:
    await cancel(results.files, 2)
    combined = (await results.files.store.read(results.files.combined_path)).data.decode()
    assert "<!-- page 4 -->" in combined, "of the run before"

    text = (await results.get()).text
    assert text.split("<!-- page 2")[0] == combined.split("<!-- page 2")[0]
    assert [line for line in text.split("\n") if line.startswith("<!--")] == [
        "<!-- page 1 -->",
        "<!-- page 2 failed: It is - -> torn & <b>bad</b>. -->",
        "<!-- page 3 pending -->",
        "<!-- page 4 pending -->",
        "<!-- page 5 pending -->",
    ]
    assert (await results.get("?headers=true")).text.startswith("<!-- page 1 -->\nThe minutes\n")
    assert (await results.get("?format=txt")).text.split("\f")[2:] == [f"[page {n} not read]\n" for n in (3, 4, 5)]
    assert "<p>Page 3 not read</p>" in (await results.get("?format=html")).text
    document = (await results.get("?format=json")).json()
    validator = Draft202012Validator((await results.client.get("/schemas/page.json")).json())
    assert [error.message for page in document["pages"] for error in validator.iter_errors(page)] == []
    assert [page["status"] for page in document["pages"]] == ["completed", "failed", "pending", "pending", "pending"]
    archive = zipfile.ZipFile(io.BytesIO((await results.get("?format=zip")).content))
    assert archive.read("a.md").decode() == text
    assert "figures/page_001_figure_1.png" in archive.namelist()


async def test_a_page_read_just_before_the_cancellation_counts_though_the_record_lacks_it(results: Results) -> None:
    await cancel(results.files, 0)
    problem = (await results.get(status=409)).json()
    assert problem["detail"] == "The job was cancelled before a page was read."
    assert "/retry" in problem["hint"]

    late = msgspec.structs.replace(PAGES[0], run=2)
    await results.files.store.write(results.files.page_outcome_path(1), outcomes.encode(late))
    assert "Prices" in (await results.get()).text


async def runs_again(files: SessionFiles) -> None:
    """Pages 3 and 4 are read again, and page 3 has been; page 1 has just been, page 4 has its outcome of before.

    The record does not show what has just been read.
    """
    at = await files.store.now()
    await commit(files, lambda job: job.retry((1, 3, 4), at))
    for outcome in (PAGES[0], PAGES[2]):
        late = msgspec.structs.replace(outcome, run=2)
        await files.store.write(files.page_outcome_path(outcome.page_no), outcomes.encode(late))


async def test_a_running_job_has_what_there_is_and_marks_the_rest_where_that_is_asked_for(results: Results) -> None:
    await runs_again(results.files)
    for form in ("md", "txt", "html", "json"):
        assert (await results.get(f"?format={form}", status=409)).json()["title"] == "Not done"
        assert (await results.get(f"?format={form}&partial=false", status=409)).json()["title"] == "Not done"

    answer = await results.get("?partial=true")
    assert (answer.headers["gnosis-partial"], answer.headers["cache-control"]) == ("true", "no-store")
    marks = [line for line in answer.text.split("\n") if line.startswith("<!--")]
    assert marks == [
        "<!-- page 1 -->",
        "<!-- page 2 failed: It is - -> torn & <b>bad</b>. -->",
        "<!-- page 3 blank -->",
        "<!-- page 4 pending -->",
        "<!-- page 5 failed: not read -->",
    ]
    assert answer.text.startswith("<!-- page 1 -->\n## Prices <2026>\n")
    assert (await results.get("?partial=true&headers=true")).text.startswith("<!-- page 1 -->\nThe minutes\n")
    pages = (await results.get("?partial=true&format=txt")).text.split("\f")
    assert (len(pages), pages[3]) == (5, "[page 4 pending]\n")
    html = (await results.get("?partial=true&format=html")).text
    assert "<p>Page 4 pending</p>" in html
    assert [html.count(f'<section id="page-{n}">') for n in range(1, 7)] == [1, 1, 1, 1, 1, 0]
    document = (await results.get("?partial=true&format=json")).json()
    assert document["status"] == "processing"
    validator = Draft202012Validator((await results.client.get("/schemas/page.json")).json())
    assert [error.message for page in document["pages"] for error in validator.iter_errors(page)] == []
    assert [(page["page_no"], page["status"]) for page in document["pages"]] == [
        (1, "completed"),
        (2, "failed"),
        (3, "completed"),
        (4, "pending"),
        (5, "failed"),
    ]
    head = await results.client.head(f"{results.address}?partial=true", headers=OWNER)
    assert (head.status_code, head.headers["gnosis-partial"]) == (200, "true")


async def test_an_ended_job_has_the_same_result_where_a_partial_one_would_do(results: Results) -> None:
    for form in ("md", "txt", "html", "json"):
        whole = await results.get(f"?format={form}")
        asked = await results.get(f"?format={form}&partial=true")
        assert asked.text == whole.text
        assert asked.headers["gnosis-partial"] == "false"
        assert "gnosis-partial" not in whole.headers


async def test_a_job_whose_document_is_not_open_yet_has_no_partial_result(results: Results) -> None:
    intake = intakes.decode((await results.files.store.read(results.files.intake_path)).data)
    await results.files.store.write(results.files.record_path, record.encode(Job.opened(intake)))
    assert (await results.get("?partial=true", status=409)).json()["detail"] == "The document has not been opened yet."


@pytest.mark.parametrize("query", ["partial=yes", "partial=", "partial=true&format=zip", "partial=true&format=pdf"])
async def test_a_partial_result_that_there_cannot_be_is_refused(results: Results, query: str) -> None:
    problem = (await results.get(f"?{query}", status=422)).json()
    assert (problem["title"], bool(problem["hint"])) == ("Bad partial", True)
