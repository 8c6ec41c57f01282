"""Webhooks as their owner sees them: `GET /api/jobs/{job_id}/webhooks` and `GET /api/webhooks`."""

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.jobstate import notice as notices
from libs.jobstate.notice import Delivery, DeliveryState
from libs.storage.session import SessionFiles
from services.web.auth import get_user_from_request
from services.web.jobs.lookup import own_session
from services.web.service import web
from services.web.webhooks.delivery import OWNER, event_type, message_id


async def of_job(request: Request) -> Response:
    """`GET /api/jobs/{job_id}/webhooks`: for each run that has ended what its webhook was answered, the newest first.

    That of the operator is not shown: it is another's address.
    """
    files = await own_session(request)
    paths = sorted([stat.path async for stat in files.store.list(files.notices_prefix)], reverse=True)
    shown = [await _shown(files, path) for path in paths]
    return JSONResponse({"webhooks": [webhook for webhook in shown if webhook is not None]})


async def of_user(request: Request) -> Response:
    """`GET /api/webhooks`: whether jobs may have a webhook, and the secrets that sign the messages."""
    user = await get_user_from_request(request)
    settings = web(request).webhooks.settings
    allowed = settings.rules.allow_any
    secrets = settings.secrets.of_user(user.email).texts if allowed else []
    return JSONResponse({"allowed": allowed, "secrets": secrets}, headers={"Cache-Control": "no-store"})


async def _shown(files: SessionFiles, path: str) -> dict[str, object] | None:
    notice = notices.decode((await files.store.read(path)).data)
    if notice.webhook is None:
        return None
    state = notice.state(OWNER)
    return {
        "run": notice.run,
        "id": message_id(files.session_id, notice.run, OWNER),
        "type": event_type(notice),
        "url": notice.webhook,
        "state": state,
        "next_attempt_at": msgspec.to_builtins(notice.next_at) if state is DeliveryState.PENDING else None,
        "attempts": msgspec.to_builtins(notice.deliveries.get(OWNER, Delivery()).attempts),
    }
