"""What `gnosis-ocr mcp` does about messages, files and answers that are not as they should be."""

import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.local.mcp import Bridge


async def answers(folder: Path | None, *messages: object, proxy: httpx.Response | None = None) -> list[Any]:
    """What the client gets for these messages; what would be the service is a proxy."""
    output = io.BytesIO()

    def respond(request: httpx.Request) -> httpx.Response:
        assert proxy is not None, "no message goes to the service"
        return proxy

    async with httpx.AsyncClient(transport=httpx.MockTransport(respond), base_url="http://gnosis.lan") as client:
        bridge = Bridge(client, folder, output)
        for message in messages:
            bridge.take(json.dumps(message).encode())
        await bridge.settled()
    return [json.loads(line) for line in output.getvalue().splitlines()]


def call(path: str, request_id: object = 1) -> dict[str, Any]:
    params = {"name": "read_document", "arguments": {"path": path}}
    return {"jsonrpc": "2.0", "id": request_id, "method": "tools/call", "params": params}


@pytest.mark.parametrize("name", ["a" * 300 + ".pdf", "circle.pdf", "no\0thing.pdf", "none.pdf"])
async def test_a_file_that_cannot_be_read_is_answered(tmp_path: Path, name: str) -> None:
    (tmp_path / "circle.pdf").symlink_to(tmp_path / "circle.pdf")
    (answer,) = await answers(tmp_path, call(name))
    assert (answer["id"], answer["error"]["code"]) == (1, -32603)


@pytest.mark.parametrize("content", ["<html>Bad gateway</html>", "[]", "7"])
async def test_an_answer_of_something_else_says_to_check_the_address(content: str) -> None:
    listing = {"jsonrpc": "2.0", "id": 3, "method": "tools/list"}
    (answer,) = await answers(None, listing, proxy=httpx.Response(502, text=content))
    assert answer["id"] == 3
    assert answer["error"]["message"] == (
        "What answers at http://gnosis.lan (502) is no Gnosis OCR. Check the address."
    )


async def test_messages_in_a_wrong_form_do_not_end_the_command(tmp_path: Path) -> None:
    wrong = [
        {"method": "notifications/cancelled", "params": {"requestId": ["a"]}},
        {"method": "notifications/cancelled", "params": [1]},
        ["no", "message"],
        call("none.pdf", ["a"]),
        call("none.pdf"),
    ]
    assert [answer["id"] for answer in await answers(tmp_path, *wrong)] == [["a"], 1]
