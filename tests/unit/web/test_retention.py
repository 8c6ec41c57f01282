"""Where jobs are not kept for ever, their status says until when."""

import json
from typing import Any

import msgspec
import pytest

from libs.jobstate.commit import commit, create
from libs.storage import layout
from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles
from tests.jobs import extracted
from tests.tusclient import Client


@pytest.mark.parametrize("days", [0, 30])
async def test_status_says_when_a_job_is_deleted_once_it_has_ended(days: int) -> None:
    store = MemoryStore()
    client = Client(store, retention_days=days)
    job = msgspec.structs.replace(extracted(2), user_email=client.user, user_hash=layout.user_hash(client.user))
    files = SessionFiles(store=store, user_hash=job.user_hash, session_id=job.session_id)
    await create(files, job)

    async def status() -> dict[str, Any]:
        answer = await client.send("GET", f"/api/jobs/{job.job_id}/status")
        assert answer.status == 200
        found: dict[str, Any] = json.loads(answer.body)
        return found

    running = await status()
    ended = await commit(files, lambda job: job.cancel(job.updated_at))
    shown = await status()
    if not days:
        assert "expires_at" not in running | shown
        return
    assert running["expires_at"] is None
    assert shown["expires_at"].startswith("2026-01-31"), ended.updated_at
    assert shown["pages"].keys() == {"1", "2"}
