"""The public HTTP interface, as a program uses it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx

_POLL_SECONDS = 0.3
# A service that restarts is back sooner; the job goes on meanwhile.
_PATIENCE_SECONDS = 60.0
ENDED = frozenset({"completed", "partial", "failed", "cancelled"})


class Refused(Exception):
    """The service answered with an error; the text is its detail and its hint."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Unreachable(Exception):
    """Nothing answers at the address, or it stopped answering."""


class GnosisClient:
    """One Gnosis at `base_url`. Closes `http` never: whoever made it does."""

    def __init__(self, base_url: str, http: httpx.AsyncClient) -> None:
        self._base_url = base_url.rstrip("/")
        self._http = http

    async def is_gnosis(self) -> bool:
        """Whether a Gnosis answers there now."""
        try:
            answer = await self._http.get(f"{self._base_url}/version", timeout=3.0)
            return answer.status_code == 200 and answer.json().get("name") == "gnosis-ocr"
        except (httpx.HTTPError, ValueError, AttributeError):
            return False

    async def upload(self, path: Path, *, pages: str = "", dpi: int | None = None) -> str:
        """Send the file, read from disk as it goes; the job's id. Raises `Refused`, `Unreachable`, `OSError`."""
        fields = {"pages": pages, "dpi": "" if dpi is None else str(dpi)}
        with path.open("rb") as file:
            answer = await self._send(
                "POST",
                "/upload",
                # The fields stand before the file, so that the service knows them when the file arrives.
                data={name: value for name, value in fields.items() if value},
                files={"file": (path.name, file, "application/octet-stream")},
                timeout=httpx.Timeout(None, connect=10.0),
            )
        return str(answer.json()["job_id"])

    async def statuses(self, job_id: str) -> AsyncIterator[dict[str, Any]]:
        """The job's record, each time that it has changed, until the job has ended. Raises `Refused`, `Unreachable`."""
        loop = asyncio.get_running_loop()
        etag = ""
        heard = loop.time()
        while True:
            try:
                headers = {"If-None-Match": etag} if etag else {}
                answer = await self._send("GET", f"/api/jobs/{job_id}/status", headers=headers, timeout=10.0)
            except (Unreachable, Refused) as error:
                passing = isinstance(error, Unreachable) or error.status >= 500
                if not passing or loop.time() - heard > _PATIENCE_SECONDS:
                    raise
            else:
                heard = loop.time()
                if answer.status_code != 304:
                    etag = answer.headers.get("ETag", "")
                    record = answer.json()
                    yield record
                    if record["status"] in ENDED:
                        return
            await asyncio.sleep(_POLL_SECONDS)

    async def result(self, job_id: str, form: str = "md") -> bytes:
        """The combined result, UTF-8. Raises `Refused`, `Unreachable`."""
        answer = await self._send("GET", f"/api/jobs/{job_id}/result", params={"format": form}, timeout=60.0)
        return answer.content

    async def cancel(self, job_id: str) -> None:
        """Ask that the job stop. Raises `Refused`, `Unreachable`."""
        await self._send("POST", f"/api/jobs/{job_id}/cancel", timeout=5.0)

    async def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = await self._http.request(method, self._base_url + path, **options)
        except httpx.TransportError as error:
            raise Unreachable(f"no answer from {self._base_url} ({type(error).__name__}). Is it running?") from error
        if answer.status_code >= 400:
            raise Refused(answer.status_code, _explained(answer))
        return answer


def _explained(answer: httpx.Response) -> str:
    try:
        problem = answer.json()
        said = [str(problem[key]) for key in ("detail", "hint") if problem.get(key)]
    except (ValueError, AttributeError, TypeError):
        said = []
    return " ".join(said) or f"the service answered {answer.status_code}"
