"""The users: they upload documents over HTTP, try again when nobody answers, and now and then change their minds."""

import asyncio
import contextlib
import random

import httpx

from tests.chaos import paper
from tests.chaos.folder import Folder
from tests.chaos.journal import Journal, What
from tests.running import ENDED
from tests.simulation.script import Document, Fate, PageScript

ASK_SECONDS = 5.0


def write(rng: random.Random) -> Document:
    """Make up a document. Its token is new each time, so no attempt passes for another."""
    trouble = rng.choice((0.0, 0.0, 0.1))
    count = rng.choice((1, 1, 2, 3, 5, 8, 12, 20))
    pace = rng.choice((0.0, 0.02, 0.1, 0.3))
    return Document(
        token=rng.randbytes(4).hex(),
        unreadable=rng.random() < 0.03,
        pages=tuple(_page(rng, trouble, pace) for _ in range(count)),
    )


def _page(rng: random.Random, trouble: float, pace: float) -> PageScript:
    fate = Fate.BLANK if rng.random() < 0.05 else Fate.TEXT
    if rng.random() < trouble:
        fate = rng.choices((Fate.FAILS, Fate.POISON, Fate.BREAKS, Fate.HANGS), (6, 2, 2, 1))[0]
    # A page that hangs takes its time each time, and the calm after the storm would be long.
    times = 1 if fate is Fate.HANGS else rng.choice((1, 1, 2, 1000))
    return PageScript(fate=fate, times=times, seconds=pace * rng.uniform(0.5, 1.5))


class User:
    """Uploads one document after the other until `over`, following each. `complaints` are answers it must not get."""

    def __init__(
        self,
        proof: dict[str, str],
        *,
        url: str,
        client: httpx.AsyncClient,
        rng: random.Random,
        folder: Folder,
        journal: Journal,
        direct: bool = False,
    ) -> None:
        """`proof` says who it is; with `direct` it sends some files to the bucket itself."""
        self._headers = proof
        self._direct = direct
        self._url = url
        self._client = client
        self._rng = rng
        self._folder = folder
        self._journal = journal
        self.over = asyncio.Event()
        self.complaints: list[tuple[str, str]] = []

    async def live(self) -> None:
        """Upload and follow."""
        while not self.over.is_set():
            document = write(self._rng)
            if session := await self._upload(document):
                self._journal.note(What.ACCEPTED, session=session)
                await self._follow(session, document)
            else:
                await self._pause(0.5)

    async def _upload(self, document: Document) -> str:
        paper.save_script(self._folder.library, document)
        if document.unreadable:
            name, content = "scan.pdf", paper.broken(document)
        elif self._rng.random() < 0.5:
            name, content = "scan.tiff", paper.tiff(document)
        else:
            name, content = "scan.pdf", paper.pdf(document)
        if self._direct and self._rng.random() < 0.3:
            return await self._upload_directly(name, content)
        answer = await self._ask("POST", "/upload", files={"file": (name, content)}, data={"dpi": "72"})
        return str(answer.json()["job_id"]) if answer is not None and answer.status_code == 202 else ""

    async def _upload_directly(self, name: str, content: bytes) -> str:
        """Send the bytes until the bucket has them all, and then say so until web has heard it."""
        order = {"filename": name, "size": len(content), "dpi": 72}
        answer = await self._ask("POST", "/api/direct-uploads", json=order)
        if answer is None or answer.status_code != 201:
            return ""
        begun = answer.json()
        for _ in range(20):
            with contextlib.suppress(httpx.TransportError):
                sent = await self._client.put(begun["upload_url"], content=content, timeout=ASK_SECONDS)
                if sent.status_code == 200:
                    break
            await self._pause(0.3)
        for _ in range(20):
            done = await self._ask("POST", begun["complete"])
            if done is not None and done.status_code == 202:
                return str(done.json()["job_id"])
            if done is not None and done.status_code < 500:
                return ""
            await self._pause(0.5)
        return ""

    async def _follow(self, session: str, document: Document) -> None:
        address = f"/api/jobs/{session}"
        whim = self._rng.choices(("none", "cancel", "delete", "retry", "delete later"), (60, 8, 6, 18, 8))[0]
        if whim in ("cancel", "delete"):
            await self._pause(self._rng.uniform(0, 4))
        if whim == "cancel" and not self.over.is_set():
            self._journal.note(What.CANCELLED, session=session)
            await self._ask("POST", f"{address}/cancel")
            whim = self._rng.choice(("none", "retry"))
        if whim == "delete" and not self.over.is_set():
            await self._delete(address)
            return
        if not await self._ended(session):
            return
        if whim == "retry":
            await self._retry(address, document)
            await self._ended(session)
        elif whim == "delete later":
            await self._delete(address)

    async def _delete(self, address: str) -> None:
        """Until somebody says that it is gone."""
        while not self.over.is_set():
            answer = await self._ask("DELETE", address)
            if answer is not None and answer.status_code in (204, 404):
                return
            await self._pause(0.5)

    async def _retry(self, address: str, document: Document) -> None:
        pages = range(1, len(document.pages) + 1)
        chosen = self._rng.sample(pages, self._rng.randint(1, len(pages)))
        for _ in range(3):
            answer = await self._ask("POST", f"{address}/retry", json={"pages": chosen})
            if self.over.is_set() or (answer is not None and answer.status_code < 500):
                return
            await self._pause(0.5)

    async def _ended(self, session: str) -> bool:
        """Wait for the end of the job; false when this life ends before it."""
        while not self.over.is_set():
            answer = await self._ask("GET", f"/api/jobs/{session}/status")
            if answer is not None and answer.status_code == 404:
                self.complaints.append((session, "an accepted job is not found"))
                return False
            if answer is not None and answer.status_code == 200 and answer.json()["status"] in ENDED:
                return True
            await self._pause(0.3)
        return False

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.over.wait(), seconds)

    async def _ask(self, method: str, path: str, **content: object) -> httpx.Response | None:
        """An answer, or nothing when web is not there, stands still, or dies meanwhile."""
        try:
            return await self._client.request(
                method,
                self._url + path,
                headers=self._headers,
                timeout=ASK_SECONDS,
                **content,  # type: ignore[arg-type]  # what httpx takes
            )
        except httpx.TransportError:
            return None
