"""A service with something of one user's, and what everybody else sends to get at it."""

import time
from typing import Any

import httpx
import msgspec

from libs.idtoken.token import GOOGLE, IAP
from libs.jobstate import intake as intakes
from libs.jobstate import outcome as outcomes
from libs.jobstate import record
from libs.jobstate.intake import FileInfo, Intake, Options
from libs.jobstate.job import Job
from libs.jobstate.outcome import OutcomeStatus, PageOutcome
from libs.storage import layout
from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles, create_session
from services.web.auth import apikey, keyring
from services.web.auth.apikey import Scope
from tests.issuer import Publisher

#: The owner and the twin have addresses with the same hash, and so the same folder.
OWNER, TWIN = "u24485408@sec.example", "u34974273@sec.example"
OTHER, QUEUE = "other@example.org", "queue@project.iam.gserviceaccount.com"
AUDIENCE, SERVICE, SECRET = "/projects/1/global/backendServices/2", "https://web.example.org", "s" * 40
OPERATOR = "o" * 40
WAYS = ("local", "key", "google", "iap")
ACTIVE_JOBS = 20
TEXT = "Only its owner reads this."
TUS = {"Tus-Resumable": "1.0.0"}


class Installation(msgspec.Struct, frozen=True, kw_only=True):
    """A service with one job, one file and two begun uploads of the owner, and what each asker sends.

    All bytes of the direct one are there.
    """

    client: httpx.AsyncClient
    store: MemoryStore
    files: SessionFiles
    upload_id: str
    direct_id: str
    file_id: str
    credentials: dict[str, dict[str, str]]
    document: dict[str, Any]

    def address(self, template: str) -> str:
        return template.format(
            job_id=self.files.session_id,
            session_id=self.files.session_id,
            upload_id=self.direct_id if "/direct-" in template else self.upload_id,
            user_hash=self.files.user_hash,
            n=1,
            filename="page_001.png",
            queue="ocr-processing",
            file_id=self.file_id,
            model="prebuilt-read",
        )

    async def owned(self) -> dict[str, int]:
        """Everything of the owner, by generation."""
        sessions = (self.files.session_id, self.upload_id, self.direct_id, self.file_id)
        return {
            stat.path: stat.generation
            async for stat in self.store.list("")
            if any(session in stat.path for session in sessions)
        }


async def credential(
    way: str, email: str, store: MemoryStore, publishers: tuple[Publisher, Publisher]
) -> dict[str, str]:
    iap, google = publishers
    match way:
        case "local":
            return {"X-User-Email": email}
        case "key":
            key, text = apikey.issue(email=email, scopes=(Scope.WRITE,), at=await store.now(), days=1)
            await keyring.save_new(store, key)
            return {"X-Api-Key": text}
        case "google":
            return {"Authorization": f"Bearer {google.sign(claims(GOOGLE.names[0], AUDIENCE, email))}"}
    return {"X-Goog-IAP-JWT-Assertion": iap.sign(claims(IAP.names[0], AUDIENCE, email))}


def claims(issuer: str, audience: str, email: str) -> dict[str, Any]:
    now = int(time.time())
    return {"iss": issuer, "aud": audience, "email": email, "email_verified": True, "iat": now, "exp": now + 900}


async def ended_job(store: MemoryStore) -> SessionFiles:
    """A job of the owner with page 1 read and page 2 failed, as the services leave it."""
    files = await create_session(store, OWNER)
    at = await store.now()
    asked = Intake(
        session_id=files.session_id,
        user_email=OWNER,
        file_info=FileInfo(filename="a.pdf", file_type="pdf", raw_file="a.pdf", file_size=9),
        options=Options(),
        created_at=at,
    )
    read = [
        PageOutcome(page_no=1, run=1, status=OutcomeStatus.COMPLETED, text=TEXT, completed_at=at),
        PageOutcome(page_no=2, run=1, status=OutcomeStatus.FAILED, error="It is torn.", completed_at=at),
    ]
    job = Job.opened(asked).load(at).plan((1, 2), total_pages=2, batch_size=2, parallelism=1, at=at)
    job = job.rendered(dict.fromkeys((1, 2), at), at).extracted(at)
    job = job.settled({outcome.page_no: outcome.brief() for outcome in read}, at).combining(at).end(at)
    await store.write(files.path("a.pdf"), b"%PDF-1.7 " + TEXT.encode())
    await store.write(files.path(layout.INTAKE), intakes.encode(asked))
    await store.write(files.path(layout.RECORD), record.encode(job))
    for outcome in read:
        await files.save_page_image(outcome.page_no, b"\x89PNG " + TEXT.encode())
        await store.write(files.path(layout.PAGE_OUTCOME.format(outcome.page_no)), outcomes.encode(outcome))
    await files.save_combined(TEXT)
    await store.write(files.searchable_path, b"%PDF-1.7 " + TEXT.encode())
    return files
