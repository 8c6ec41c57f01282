"""Azure Document Intelligence: a reading that is begun, polled, fetched with its PDF, and deleted."""

import base64
from typing import Any

import httpx
import pytest

from libs.storage.memory import MemoryStore
from tests.auditing import audit_events
from tests.endedjobs import end, fail, jobs, only_job
from tests.integration.web.frontdoors.conftest import BLANK, FAILED, PDF, READ, Serve

KEY = {"Ocp-Apim-Subscription-Key": "any text"}
READ_MODEL = "/documentintelligence/documentModels/prebuilt-read"
LAYOUT = "/documentintelligence/documentModels/prebuilt-layout"
VERSION = "api-version=2024-11-30"
SOURCE = {"base64Source": base64.b64encode(PDF).decode()}


async def begun(client: httpx.AsyncClient, address: str = READ_MODEL, query: str = VERSION, **how: Any) -> str:
    """The address that is polled for the result."""
    answer = await client.post(f"{address}:analyze?{query}", headers=KEY, **(how or {"json": SOURCE}))
    assert answer.status_code == 202, answer.text
    assert answer.content == b""
    assert answer.headers["Retry-After"] == "1"
    return answer.headers["Operation-Location"]


async def test_a_reading_runs_and_succeeds(serve: Serve, store: MemoryStore) -> None:
    client = serve()
    address = await begun(client)
    job_id = (await only_job(store)).session_id
    assert address.startswith(f"http://localhost{READ_MODEL}/analyzeResults/{job_id}?{VERSION}")
    with audit_events() as polled:
        running = await client.get(address, headers=KEY)
    assert running.json()["status"] == "notStarted"
    assert running.headers["Retry-After"] == "1"
    assert polled == [], "nothing was shown"
    await end(await only_job(store), (READ, FAILED, BLANK))
    with audit_events() as shown:
        answer = (await client.get(address, headers=KEY)).json()
    assert [(event["action"], event["job_id"]) for event in shown] == [("result.read", job_id)]
    assert answer["status"] == "succeeded"
    result = answer["analyzeResult"]
    assert (result["modelId"], result["contentFormat"]) == ("prebuilt-read", "text")
    assert [page["pageNumber"] for page in result["pages"]] == [1, 2, 3]
    assert "Minutes of May" in result["content"]
    assert "page 2 failed: It is torn." in result["content"]
    assert [warning["code"] for warning in result["warnings"]].count("PageFailed") == 1
    (line,) = [line for line in result["pages"][0]["lines"] if line["content"] == "Minutes of May"]
    at = line["spans"][0]
    assert result["content"][at["offset"] : at["offset"] + at["length"]] == "Minutes of May"


@pytest.mark.parametrize("kind", ["application/octet-stream", "application/pdf", "image/png"])
async def test_the_raw_body_is_a_document_and_joins_the_same_in_json(
    serve: Serve, store: MemoryStore, kind: str
) -> None:
    client = serve()
    first = await begun(client)
    query = f"{VERSION}&outputContentFormat=markdown&stringIndexType=utf16CodeUnit&features=languages&locale=de"
    answer = await client.post(f"{LAYOUT}:analyze?{query}", headers={**KEY, "Content-Type": kind}, content=PDF)
    second = answer.headers["Operation-Location"]
    assert len(await jobs(store)) == 1
    await end(await only_job(store), (READ,))
    plain = (await client.get(first, headers=KEY)).json()["analyzeResult"]
    marked = (await client.get(second, headers=KEY)).json()["analyzeResult"]
    assert (plain["modelId"], plain["contentFormat"]) == ("prebuilt-read", "text")
    assert (marked["modelId"], marked["contentFormat"]) == ("prebuilt-layout", "markdown")
    assert marked["stringIndexType"] == "utf16CodeUnit"
    assert "# Minutes of May" in marked["content"]
    assert "#" not in plain["content"]
    assert marked["tables"][0]["cells"][0] | {"spans": []} == {
        "rowIndex": 0,
        "columnIndex": 0,
        "content": "Sum",
        "kind": "columnHeader",
        "spans": [],
    }


async def test_pages_are_an_option_of_the_job(serve: Serve, store: MemoryStore) -> None:
    client = serve()
    await begun(client, query=f"{VERSION}&pages=1-3,5")
    assert (await end(await only_job(store), (READ,))).options.pages == "1-3,5"


async def test_a_pdf_that_is_asked_for_is_awaited(serve: Serve, store: MemoryStore) -> None:
    client = serve()
    address = await begun(client, query=f"{VERSION}&output=pdf")
    pdf = address.partition("?")[0] + f"/pdf?{VERSION}"
    assert (await client.get(pdf, headers=KEY)).status_code == 409
    files = await only_job(store)
    await end(files, (READ,))
    assert (await client.get(address, headers=KEY)).json()["status"] == "running"
    assert (counts := client.web.queue.counts("ocr-extraction")) is not None
    assert counts.pending == 2, "the extraction, and the making of the PDF"
    await store.write(files.searchable_path, b"%PDF-1.7 with text")
    assert (await client.get(address, headers=KEY)).json()["status"] == "succeeded"
    answer = await client.get(pdf, headers=KEY)
    assert (answer.headers["Content-Type"], answer.content) == ("application/pdf", b"%PDF-1.7 with text")


async def test_a_pdf_that_cannot_be_made_ends_the_wait(serve: Serve, store: MemoryStore) -> None:
    client = serve()
    address = await begun(client, query=f"{VERSION}&output=pdf")
    files = await only_job(store)
    await end(files, (READ,))
    await store.write(files.searchable_fault_path, b"The document cannot be written.")
    assert (await client.get(address, headers=KEY)).json()["status"] == "succeeded"
    answer = await client.get(address.partition("?")[0] + "/pdf", headers=KEY)
    assert answer.status_code == 422
    assert answer.json()["error"]["message"].startswith("The document cannot be written.")


async def test_a_document_that_fails_is_a_failed_operation(serve: Serve, store: MemoryStore) -> None:
    client = serve()
    address = await begun(client)
    await fail(await only_job(store), "The document is encrypted.")
    answer = await client.get(address, headers=KEY)
    assert answer.status_code == 200
    assert answer.json()["status"] == "failed"
    assert answer.json()["error"]["message"] == "The document is encrypted."


async def test_a_cancelled_reading_is_a_failed_operation_that_says_how_to_go_on(
    serve: Serve, store: MemoryStore
) -> None:
    client = serve()
    address = await begun(client)
    job_id = (await only_job(store)).session_id
    await client.post(f"/api/jobs/{job_id}/cancel")
    answer = (await client.get(address, headers=KEY)).json()
    assert answer["status"] == "failed"
    assert f"/api/jobs/{job_id}/retry" in answer["error"]["message"]


async def test_a_deleted_result_is_gone_with_its_job(serve: Serve, store: MemoryStore) -> None:
    client = serve()
    address = await begun(client)
    await end(await only_job(store), (READ,))
    assert (await client.delete(address, headers=KEY)).status_code == 204
    assert (await client.get(address, headers=KEY)).status_code == 404
    assert await jobs(store) == []


async def test_the_address_has_the_scheme_that_the_client_needs(serve: Serve, store: MemoryStore) -> None:
    behind_tls = serve(allowed_hosts="https://ocr.example.org")
    answer = await behind_tls.post(
        f"http://ocr.example.org{READ_MODEL}:analyze", headers={**KEY, "Host": "ocr.example.org"}, json=SOURCE
    )
    assert answer.headers["Operation-Location"].startswith("https://ocr.example.org/documentintelligence/")


@pytest.mark.parametrize(
    ("address", "body", "status", "code"),
    [
        (f"{READ_MODEL}:analyze", {"json": {}}, 422, "InvalidRequest"),
        (f"{READ_MODEL}:analyze", {"json": {"base64Source": "%%%"}}, 422, "InvalidRequest"),
        (f"{READ_MODEL}:analyze", {"json": {"urlSource": "https://example.org/a.pdf"}}, 422, "InvalidRequest"),
        (f"{READ_MODEL}:analyze", {"content": b"plain text"}, 415, "InvalidContent"),
        (f"{READ_MODEL}:analyze", {"content": b""}, 400, "InvalidRequest"),
        (f"{READ_MODEL}:analyze?outputContentFormat=html", {"json": SOURCE}, 400, "InvalidRequest"),
        (f"{READ_MODEL}:analyze?stringIndexType=bytes", {"json": SOURCE}, 400, "InvalidRequest"),
        (f"{READ_MODEL}:analyze?pages=0", {"json": SOURCE}, 422, "InvalidRequest"),
        ("/documentintelligence/documentModels/prebuilt-invoice:analyze", {"json": SOURCE}, 404, "NotFound"),
    ],
)
async def test_errors_have_azures_form(
    serve: Serve, store: MemoryStore, address: str, body: dict[str, Any], status: int, code: str
) -> None:
    answer = await serve().post(address, headers=KEY, **body)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["code"] == code
    assert answer.json()["error"]["message"]
    assert [stat.path async for stat in store.list("")] == []


async def test_without_a_key_where_one_is_needed_the_error_has_azures_form(serve: Serve) -> None:
    answer = await serve(api_keys=True).post(f"{READ_MODEL}:analyze", headers=KEY, json=SOURCE)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "Unauthorized"
