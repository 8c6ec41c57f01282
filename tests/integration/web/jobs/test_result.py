"""The result of a job in every form, by `format` and by `Accept`, of pages of every kind."""

import csv
import io
import zipfile
from typing import Any

import msgspec
import numpy as np
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # publishes no types
from PIL import Image

from libs.fanout import REQUESTS_AT_ONCE
from libs.jobstate import outcome as outcomes
from libs.storage.memory import MemoryStore
from libs.storage.session import create_session
from libs.storage.store import Stored
from services.web.outputs.result import as_html, as_json, as_text
from tests.integration.web.jobs.results import BLOCKS, OWNER, PAGES, PICTURE, Results
from tests.jobs import INTAKE, extracted


async def test_markdown_marks_every_page_and_leaves_running_heads_out(results: Results) -> None:
    text = (await results.get()).text
    assert [line for line in text.split("\n") if line.startswith("<!--")] == [
        "<!-- page 1 -->",
        "<!-- page 2 failed: It is - -> torn & <b>bad</b>. -->",
        "<!-- page 3 blank -->",
        "<!-- page 4 -->",
        "<!-- page 5 failed: not read -->",
    ]
    assert "The minutes" not in text
    assert text == (await results.get("?format=md&headers=false&tables=html")).text


async def test_markdown_has_running_heads_where_they_are_asked_for(results: Results) -> None:
    text = (await results.get("?format=md&headers=true")).text
    assert text.startswith("<!-- page 1 -->\nThe minutes\n\n## Prices <2026>\n")
    assert "\n\n17\n\n<!-- page 2 failed" in text
    assert "\n<!-- page 3 blank -->\n" in text


async def test_tables_without_spans_can_be_pipes(results: Results) -> None:
    text = (await results.get("?tables=pipes")).text
    assert "| a | b\\|c |\n| --- | --- |" in text
    assert text.count("<table>") == 1


async def test_plain_text_keeps_tables_in_their_place(results: Results) -> None:
    pages = (await results.get("?format=txt")).text.split("\f")
    assert pages == [
        'Prices <2026>\n\nBefore the table\n\nTea, green\t1" & <b>\nwide\t\n\na\tb|c\n\nAfter it\n',
        "[page 2 failed: It is --> torn & <b>bad</b>.]\n",
        "\n",
        "Before\n\na\tb\n\nAfter one <script>alert(1)</script>\n",
        "[page 5 failed: not read]\n",
    ]
    assert (await results.get("?format=txt&headers=true")).text.startswith("The minutes\n\n")


async def test_html_is_one_document_in_which_nothing_of_the_pages_is_markup(results: Results) -> None:
    answer = await results.get("?format=html")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.text.startswith("<!doctype html>\n")
    assert answer.text.endswith("</html>\n")
    assert "<h2>Prices &lt;2026&gt;</h2>" in answer.text
    assert "p,li,th,td{unicode-bidi:plaintext}" in answer.text, "Hebrew runs to the left, and ends with its full stop"
    assert '<tr><th>Tea, green</th><th>1" &amp; &lt;b&gt;</th></tr>' in answer.text
    assert "<p>Page 2 failed: It is --&gt; torn &amp; &lt;b&gt;bad&lt;/b&gt;.</p>" in answer.text
    assert "<strong>one</strong> &lt;script&gt;" in answer.text
    assert "<script" not in answer.text
    assert [f'<section id="page-{n}">' in answer.text for n in range(1, 7)] == [True] * 5 + [False]


async def test_json_has_every_page_as_the_schema_describes_it(results: Results) -> None:
    document: dict[str, Any] = (await results.get("?format=json")).json()
    schema = (await results.client.get("/schemas/page.json")).json()
    validator = Draft202012Validator(schema)
    assert [page["page_no"] for page in document["pages"]] == [1, 2, 3, 4, 5]
    assert [error.message for page in document["pages"] for error in validator.iter_errors(page)] == []
    assert [page["status"] for page in document["pages"]] == ["completed", "failed", "completed", "completed", "failed"]
    kinds = [block["kind"] for block in document["pages"][0]["blocks"]]
    assert kinds == [block.kind for block in BLOCKS]
    assert [block["kind"] for block in document["pages"][3]["blocks"]] == ["paragraph", "table", "paragraph"]
    assert document["file_info"]["filename"] == "a.pdf"
    assert (document["pages"][0]["width"], document["pages"][0]["source"]) == (100, "ocr")


async def test_archive_has_all_forms_and_each_table_as_csv(results: Results) -> None:
    answer = await results.get("?format=zip")
    assert answer.headers["content-type"] == "application/zip"
    assert 'filename="a.zip"' in answer.headers["content-disposition"]
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    tables = ["tables/page_001_table_1.csv", "tables/page_001_table_2.csv", "tables/page_004_table_1.csv"]
    figure = "figures/page_001_figure_1.png"
    assert archive.namelist() == ["a.md", "a.txt", "a.html", "a.json", *tables[:2], figure, tables[2]]
    cut = np.asarray(Image.open(io.BytesIO(archive.read(figure))))
    assert (cut == PICTURE[20:200, 10:30]).all()
    for form in ("md", "txt", "html", "json"):
        assert archive.read(f"a.{form}") == (await results.get(f"?format={form}")).content
    rows = list(csv.reader(io.StringIO(archive.read(tables[0]).decode(), newline="")))
    assert rows == [["Tea, green", '1" & <b>'], ["wide", ""]]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "text/markdown"),
        ("", "text/markdown"),
        ("text/*", "text/markdown"),
        ("application/json", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html"),
        ("text/html;q=0.1, text/plain;q=0.5", "text/plain"),
        ("image/gif, application/zip;q=0.2", "application/zip"),
        ("image/png, text/markdown;q=0, */*;q=0.1", "text/markdown"),
    ],
)
async def test_form_follows_from_accept_where_the_address_names_none(results: Results, accept: str, kind: str) -> None:
    answer = await results.get(Accept=accept)
    assert answer.headers["content-type"].split(";")[0] == kind
    assert answer.headers["vary"] == "Accept"
    named = await results.get("?format=txt", Accept=accept)
    assert named.headers["content-type"].split(";")[0] == "text/plain"


async def test_what_does_not_exist_is_refused_with_what_does(results: Results) -> None:
    refused = await results.get(status=406, Accept="image/png")
    assert refused.json()["detail"].startswith("The result comes as text/markdown, text/plain")
    for query in ("?format=docx", "?format=", "?headers=yes", "?tables=latex"):
        problem = (await results.get(query, status=422)).json()
        assert problem["hint"]


async def test_head_says_what_would_come_without_making_it(results: Results) -> None:
    answer = await results.client.head(results.address + "?format=zip", headers=OWNER)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "application/zip"
    assert "content-length" not in answer.headers


async def test_old_page_has_blocks_and_html_made_from_its_markdown(results: Results) -> None:
    address = results.address.removesuffix("result") + "pages/4"
    page = (await results.client.get(address, headers={**OWNER, "Accept": "application/json"})).json()
    assert [block["kind"] for block in page["blocks"]] == ["paragraph", "table", "paragraph"]
    assert page["text"] == page["markdown"] == PAGES[3].text
    html = (await results.client.get(address, headers={**OWNER, "Accept": "text/html"})).text
    assert "<td>a</td>" in html
    assert "<script" not in html


class CountingStore(MemoryStore):
    """Counts the outcomes that are read."""

    def __init__(self) -> None:
        super().__init__()
        self.read_outcomes = 0

    async def read(self, path: str) -> Stored:
        self.read_outcomes += path.endswith("_result.json")
        return await super().read(path)


@pytest.mark.parametrize("form", [as_text, as_html, as_json])
async def test_result_is_made_while_it_is_sent_and_pages_are_not_held(form: Any) -> None:
    store = CountingStore()
    files = await create_session(store, INTAKE.user_email)
    job = extracted(500)
    for page_no in job.pages:
        page = msgspec.structs.replace(PAGES[0], page_no=page_no)
        await store.write(files.page_outcome_path(page_no), outcomes.encode(page))
    sent = 0
    async for _ in form(files, job):
        sent += 1
        assert store.read_outcomes <= sent + REQUESTS_AT_ONCE
    assert (sent >= 500, store.read_outcomes) == (True, 500)
