"""The running services by the client of the official package for the Model Context Protocol."""

import base64
from pathlib import Path

from tests.documents import pdf
from tests.required import need_package
from tests.running import running
from tests.scripted import Script

need_package("mcp")
from mcp.client.client import Client  # noqa: E402


async def test_an_agent_reads_a_document_and_sees_how_far_it_is(tmp_path: Path) -> None:
    document = pdf(tmp_path / "a.pdf", 4)
    seen: list[tuple[float, float | None]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, total))

    # A batch has three pages, so the last one is read in the second.
    with running(tmp_path, script=Script(seconds=0.5, fail=(2,))) as services:
        async with Client(f"{services.url}/mcp") as client:
            names = {tool.name for tool in (await client.list_tools()).tools}
            arguments = {"base64": base64.b64encode(document.read_bytes()).decode(), "filename": "a.pdf"}
            result = await client.call_tool("read_document", arguments, progress_callback=note)
            found = result.structured_content
            job = services.status(found["job_id"])
            failed = await client.call_tool("get_pages", {"job_id": "0" * 32})
    assert names >= {"read_document", "get_pages", "search_document", "list_documents", "retry_pages", "cancel"}
    assert [page["status"] for page in found["pages"]] == ["completed", "failed", "completed", "completed"]
    assert (job["status"], job["file_info"]["filename"]) == ("partial", "a.pdf")
    assert seen == sorted(seen) and seen[-1] == (4, 4) and len(seen) > 1
    assert failed.is_error
