"""What every route works with."""

from typing import cast

import httpx
import msgspec
from starlette.requests import Request

from libs.jobstate.job import Job
from libs.jobstate.rebuild import load_or_rebuild
from libs.storage.errors import NotFound
from libs.storage.session import SessionFiles, validate_session
from libs.storage.store import DirectStore, ObjectStore
from libs.taskqueue.queue import WatchedQueue
from services.serving.problem import not_found
from services.serving.queue_identity import QueueIdentity
from services.web.auth import get_user_from_request
from services.web.auth.identity import Identity
from services.web.config import WebConfig
from services.web.extract.extractor import Extractor
from services.web.metrics import WebMetrics
from services.web.sweeper import Sweeper
from services.web.upload.completion import Completion


class Web(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of the running service."""

    config: WebConfig
    store: ObjectStore
    queue: WatchedQueue
    identity: Identity
    queue_identity: QueueIdentity
    client: httpx.AsyncClient
    extractor: Extractor
    completion: Completion
    sweeper: Sweeper
    metrics: WebMetrics
    direct: DirectStore | None = None


def web(request: Request) -> Web:
    """The parts behind this request."""
    return cast(Web, request.app.state.web)


async def own_session(request: Request) -> SessionFiles:
    """The files of the job that the address names, looked for under the asker's own hash. Raises `Problem` 404."""
    user = await get_user_from_request(request)
    try:
        return await validate_session(web(request).store, user.user_hash, request.path_params["job_id"])
    except NotFound as error:
        raise not_found() from error


async def own_job(request: Request) -> tuple[SessionFiles, Job]:
    """The same, and the job's record. Raises `Problem` 404, `TornRecord`."""
    files = await own_session(request)
    try:
        return files, await load_or_rebuild(files)
    except NotFound as error:
        raise not_found() from error
