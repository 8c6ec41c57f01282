"""A client of the public HTTP interface."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx

# Chosen: a page takes longer to read, and an unchanged record answers 304 without a body.
_POLL_SECONDS = 0.3
# Chosen: above the time that a service needs to restart; the job goes on meanwhile.
_OUTAGE_SECONDS = 60.0
# Chosen: what the service may take for a searchable PDF, and a wait for its turn.
_MAKING_SECONDS = 600.0
#: The values of `status` with which a job has ended.
ENDED = frozenset({"completed", "partial", "failed", "cancelled"})


class ApiError(Exception):
    """The service answered with the error `status` (HTTP); the text is its detail and its hint."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Unreachable(Exception):
    """Nothing answers at the address, or it stopped answering."""


class GnosisClient:
    """One Gnosis at `base_url`. The caller opens and closes `http`."""

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

    async def upload(self, path: Path, *, pages: str = "", dpi: int | None = None, ocr: str = "") -> str:
        """Stream the file to the service; the job's id. Raises `ApiError`, `Unreachable`, `OSError`."""
        fields = {"pages": pages, "dpi": "" if dpi is None else str(dpi), "ocr": ocr}
        with path.open("rb") as file:
            answer = await self._send(
                "POST",
                "/upload",
                # The fields come before the file, so that the service knows them when the file arrives.
                data={name: value for name, value in fields.items() if value},
                files={"file": (path.name, file, "application/octet-stream")},
                timeout=httpx.Timeout(None, connect=10.0),
            )
        return str(answer.json()["job_id"])

    async def statuses(self, job_id: str) -> AsyncIterator[dict[str, Any]]:
        """The job's record whenever it has changed, until the job has ended. Raises `ApiError`, `Unreachable`."""
        loop = asyncio.get_running_loop()
        etag = ""
        heard = loop.time()
        while True:
            try:
                headers = {"If-None-Match": etag} if etag else {}
                answer = await self._send("GET", f"/api/jobs/{job_id}/status", headers=headers, timeout=10.0)
            except (Unreachable, ApiError) as error:
                temporary = isinstance(error, Unreachable) or error.status >= 500
                if not temporary or loop.time() - heard > _OUTAGE_SECONDS:
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
        """The combined result in the form `form`. Raises `ApiError`, `Unreachable`."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            try:
                answer = await self._send("GET", f"/api/jobs/{job_id}/result", params={"format": form}, timeout=60.0)
                return answer.content
            except ApiError as error:
                # A searchable PDF is made when it is first asked for.
                if error.status != 503 or loop.time() - began > _MAKING_SECONDS:
                    raise
            await asyncio.sleep(_POLL_SECONDS)

    async def cancel(self, job_id: str) -> None:
        """Cancel the job. Raises `ApiError`, `Unreachable`."""
        await self._send("POST", f"/api/jobs/{job_id}/cancel", timeout=5.0)

    async def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = await self._http.request(method, self._base_url + path, **options)
        except httpx.TransportError as error:
            raise Unreachable(f"no answer from {self._base_url} ({type(error).__name__}). Is it running?") from error
        if answer.status_code >= 400:
            raise ApiError(answer.status_code, _explained(answer))
        return answer


def _explained(answer: httpx.Response) -> str:
    try:
        problem = answer.json()
        parts = [str(problem[key]) for key in ("detail", "hint") if problem.get(key)]
    except (ValueError, AttributeError, TypeError):
        parts = []
    return " ".join(parts) or f"the service answered {answer.status_code}"
