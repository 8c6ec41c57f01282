"""`mcp`: the Model Context Protocol over standard input and output, for agents that start their tools as programs.

Each message goes to a running service at `/mcp`, which keeps nothing between messages. What is added here are documents
of this machine: `read_document` takes a `path` below the folder that the person who starts the command names.
"""

import asyncio
import base64
import io
import json
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import httpx

from gnosis_ocr import GnosisError
from gnosis_ocr.connection import Connection
from services.local.exit import BAD_INPUT, CommandError
from services.local.terminal import say

#: Bytes of a document at most: in base64, with what is around it, it has to fit into the 64 MiB that the service takes.
MAX_BYTES = 47 * 1024**2
#: Seconds to connect. Answers take as long as documents take.
_CONNECT_SECONDS = 10.0
#: An error of the server's own (JSON-RPC 2.0, section 5.1).
_INTERNAL_ERROR = -32603

Message = dict[str, Any]


async def serve(base_url: str, key: str, folder: Path | None) -> int:
    """Pass messages on until standard input ends; the exit code. Raises `CommandError`."""
    headers = {"Accept": "application/json, text/event-stream"}
    if key:
        headers["X-Api-Key"] = key
    timeout = httpx.Timeout(None, connect=_CONNECT_SECONDS)
    try:
        trust_env = Connection(base_url, api_key=key, user=None).trust_env
    except GnosisError as error:
        raise CommandError(BAD_INPUT, str(error)) from error
    async with httpx.AsyncClient(base_url=base_url, headers=headers, timeout=timeout, trust_env=trust_env) as client:
        say(f"passing messages on to {base_url}/mcp")
        # Not `sys.stdin`, whose lock the interpreter wants at its end, and not closed: its thread may wait for a line.
        source = io.BufferedReader(io.FileIO(sys.stdin.fileno(), closefd=False))
        await Bridge(client, folder, sys.stdout.buffer).run(source)
    return 0


class Bridge:
    """Passes messages on, each in a task of its own: a client may ask again while a document is read."""

    def __init__(self, client: httpx.AsyncClient, folder: Path | None, output: BinaryIO) -> None:
        self._client = client
        self._folder = folder
        self._output = output
        self._at_work: dict[object, asyncio.Task[None]] = {}

    async def run(self, source: BinaryIO) -> None:
        """Pass on the lines of `source`, until they end; then what is at work is given up. Documents are read on."""
        async for line in _lines(source):
            self.take(line)
        for task in [*self._at_work.values()]:
            task.cancel()

    def take(self, line: bytes) -> None:
        """Begin to pass on a message."""
        message = _object(line)
        if message is None:
            say("a line is not a message")
        elif message.get("method") == "notifications/cancelled":
            given_up = self._at_work.get(_key(_params(message).get("requestId")))
            if given_up is not None:
                given_up.cancel()
        else:
            self._start(message)

    async def settled(self) -> None:
        """Return when nothing is at work."""
        await asyncio.gather(*self._at_work.values())

    def _start(self, message: Message) -> None:
        key = _key(message["id"]) if "id" in message else object()  # notifications have none
        task = asyncio.create_task(self._pass_on(message))
        self._at_work[key] = task
        task.add_done_callback(lambda _: self._at_work.pop(key, None))

    async def _pass_on(self, message: Message) -> None:
        try:
            asked = await asyncio.to_thread(self._with_document, message)
            async with self._client.stream("POST", "/mcp", json=asked) as answer:
                if answer.headers.get("Content-Type", "").startswith("text/event-stream"):
                    async for line in answer.aiter_lines():
                        if line.startswith("data: {"):
                            self._write(message, json.loads(line.removeprefix("data: ")))
                    return
                body = await answer.aread()
                if answer.status_code == 202:
                    return
                found = _object(body)
                if found is None:
                    url, status = self._client.base_url, answer.status_code
                    self._refuse(message, f"What answers at {url} ({status}) is no Gnosis OCR. Check the address.")
                elif "jsonrpc" in found:
                    self._write(message, found)
                else:  # a problem of the service's, before the protocol begins
                    self._refuse(message, f"{found.get('detail', answer.status_code)} {found.get('hint', '')}".strip())
        except httpx.HTTPError as error:
            url, kind = self._client.base_url, type(error).__name__
            self._refuse(message, f"Gnosis OCR does not answer at {url} ({kind}). Start it with: gnosis-ocr run")
        except ValueError as error:
            self._refuse(message, str(error))

    def _with_document(self, message: Message) -> Message:
        """The message with the document's bytes in place of its path. Raises `ValueError`."""
        params = _params(message)
        arguments = params.get("arguments")
        if message.get("method") != "tools/call" or not isinstance(arguments, dict) or "path" not in arguments:
            return message
        if self._folder is None:
            raise ValueError("Files of this machine are not read: the command was started without --folder.")
        try:
            name, content = _read(self._folder.resolve(), str(arguments["path"]))
        except (OSError, RuntimeError) as error:  # the latter for links in a circle, before Python 3.13
            reason = getattr(error, "strerror", None) or "its links lead nowhere"
            raise ValueError(f"The file cannot be read: {reason}. Check its name and permissions.") from error
        given = {name: value for name, value in arguments.items() if name != "path"}
        given |= {"base64": base64.b64encode(content).decode(), "filename": name}
        return {**message, "params": {**params, "arguments": given}}

    def _write(self, asked: Message, answer: Message) -> None:
        if asked.get("method") == "tools/list" and self._folder is not None:
            for tool in answer.get("result", {}).get("tools", ()):
                if tool["name"] == "read_document":
                    about = f"Of a file of this machine, below {self._folder}; in place of url and base64."
                    tool["inputSchema"]["properties"]["path"] = {"type": "string", "description": about}
        self._output.write(json.dumps(answer).encode() + b"\n")
        self._output.flush()

    def _refuse(self, asked: Message, reason: str) -> None:
        if "id" in asked:
            self._write(
                {}, {"jsonrpc": "2.0", "id": asked["id"], "error": {"code": _INTERNAL_ERROR, "message": reason}}
            )


async def _lines(source: BinaryIO) -> AsyncIterator[bytes]:
    """The lines, read in a daemon thread: a thread of the loop's would hold up the end of the command after Ctrl-C."""
    loop, lines = asyncio.get_running_loop(), asyncio.Queue[bytes]()

    def read() -> None:
        with suppress(RuntimeError):  # the loop is closed
            while line := source.readline():
                loop.call_soon_threadsafe(lines.put_nowait, line)
            loop.call_soon_threadsafe(lines.put_nowait, b"")

    threading.Thread(target=read, name="standard input", daemon=True).start()
    while line := await lines.get():
        yield line


def _read(root: Path, name: str) -> tuple[str, bytes]:
    """The name and the content of a file below `root`. Raises `ValueError`, `OSError`, `RuntimeError`."""
    # Resolved first, so that neither ".." nor a link leads out of the folder.
    path = (root / name).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        raise ValueError(f"There is no such file below {root}.")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError("The file has more than 47 MB. Read it with: gnosis-ocr read --keep FILE")
    return path.name, path.read_bytes()


def _params(message: Message) -> Message:
    """The message's parameters by name; none where it has another form."""
    found = message.get("params")
    return found if isinstance(found, dict) else {}


def _key(request_id: object) -> str:
    """A key for the id of a request, which a wrong client may make a list."""
    return json.dumps(request_id)


def _object(body: bytes) -> Message | None:
    """A JSON object; None where it is none, as the page of a proxy."""
    try:
        found = json.loads(body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
