"""The route of the Model Context Protocol. Its package is imported at the first call, and may be missing."""

import asyncio
import importlib
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from services.serving.body import announced_bytes, read_body
from services.serving.problem import Problem
from services.web.auth.identity import get_user_of_client
from services.web.frontdoors.document import MAX_JSON_BYTES
from services.web.frontdoors.door import Door
from services.web.frontdoors.mcp.tools import Caller
from services.web.service import web


async def mcp(request: Request) -> Response:
    """A message of an agent: its user is identified before anything of it is read. Raises `Problem`."""
    user = await get_user_of_client(request)
    try:
        server = await asyncio.to_thread(importlib.import_module, "services.web.frontdoors.mcp.server")
    except ImportError as error:
        raise Problem(
            404,
            "MCP not installed",
            "This installation lacks the package that speaks the Model Context Protocol.",
            "The operator installs it with: pip install 'gnosis-ocr[mcp]'",
        ) from error
    return _Answer(server, Caller(request=request, user=user))


class _Answer(Response):
    """What the package answers, sent as it comes: progress is a stream of events."""

    def __init__(self, server: Any, caller: Caller) -> None:
        super().__init__()
        self._server = server
        self._caller = caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        request = self._caller.request
        service = web(request)
        announced = announced_bytes(request)
        with service.held_bodies.of(MAX_JSON_BYTES if announced is None else min(announced, MAX_JSON_BYTES)):
            pace = service.config.upload_pace
            hint = "Upload larger documents with POST /upload, and call read_document with the job_id."
            body = await read_body(request, most=MAX_JSON_BYTES, pace=pace, hint=hint)
            unread = True

            async def whole() -> Message:
                nonlocal unread
                if unread:
                    unread = False
                    return {"type": "http.request", "body": body, "more_body": False}
                return await receive()

            await self._server.serve(self._caller, scope, whole, send)


DOOR = Door(name="mcp", routes=(Route("/mcp", mcp, methods=["POST"]),))
