"""An encrypted PDF and its password through running services, which are searched for the password afterwards."""

import base64
import json
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import httpx
import pymupdf
import pytest

from tests.documents import pdf
from tests.running import Running, running
from tests.scripted import Script
from tests.tusclient import BODY_TYPE, metadata

USER, OWNER = "Zq7pLkW9 geh\u00efm\u20ac", "Xv3nQtR5 eigenaar"
#: The passwords as they may be written.
NEEDLES = [
    form
    for password in (USER, OWNER)
    for form in (
        password[:8].encode(),
        password.encode(),
        base64.b64encode(password.encode()).rstrip(b"="),
        json.dumps(password)[1:-1].encode(),
        quote(password).encode(),
    )
]
TUS = {"Tus-Resumable": "1.0.0"}
CHILD = b"services.web.render.child"


class Processes:
    """What the command lines and environments of all processes hold, looked at again and again."""

    def __init__(self) -> None:
        #: Where a password was.
        self.holders: set[str] = set()
        #: Processes that open documents.
        self.children: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    @contextmanager
    def watched(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._over.set()
            self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    with suppress(OSError):
                        content = (process / name).read_bytes()
                        if name == "cmdline" and CHILD in content:
                            self.children.add(process.name)
                        if holds(content):
                            self.holders.add(f"{process.name}: {name}")


def holds(content: bytes) -> bool:
    return any(needle in content for needle in NEEDLES)


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("document")
    path = folder / "locked.pdf"
    with pymupdf.open(pdf(folder / "open.pdf", 6)) as document:
        document.save(path, encryption=pymupdf.mupdf.PDF_ENCRYPT_AES_256, user_pw=USER, owner_pw=OWNER)
    return path


def files_with_it(services: Running) -> list[Path]:
    """Every file that the services have written and in which a password is."""
    found = []
    for folder, _, names in os.walk(services.logs):  # it passes over folders that go meanwhile
        for name in names:
            with suppress(FileNotFoundError):
                if holds((path := Path(folder, name)).read_bytes()):
                    found.append(path)
    return sorted(found)


def begun_by_tus(services: Running, document: bytes) -> str:
    """An upload with its password and all but the last bytes of its document; its address."""
    headers = {
        **TUS,
        "Upload-Length": str(len(document)),
        "Upload-Metadata": metadata(filename="locked.pdf", password=USER),
        "Content-Type": BODY_TYPE,
    }
    answer = services.client.post(f"{services.url}/api/uploads", headers=headers, content=document[:-10])
    assert answer.status_code == 201, answer.text
    return str(answer.headers["location"])


def shown(services: Running, job_id: str) -> list[httpx.Response]:
    """Everything that the owner of a job is shown of it."""
    addresses = ["/api/jobs", f"/api/jobs/{job_id}/status", f"/api/v1/jobs/{job_id}/status"]
    addresses += [f"/api/jobs/{job_id}/result?format={form}" for form in ("md", "txt", "html", "json", "zip")]
    addresses += [f"/api/jobs/{job_id}/events", f"/api/jobs/{job_id}/pages/1", "/metrics", "/health", "/ready"]
    folder = next(services.storage.glob(f"users/*/{job_id}"))
    addresses += [f"/storage/{folder.parent.name}/{job_id}/{path.name}" for path in folder.iterdir() if path.is_file()]
    return [services.get(address) for address in addresses]


def test_a_password_opens_its_document_and_is_found_nowhere_afterwards(tmp_path: Path, encrypted: Path) -> None:
    processes = Processes()
    with running(tmp_path, script=Script()) as services, processes.watched():
        for password in (USER, OWNER):
            job = services.ended(services.upload(encrypted, password=password))
            assert (job["status"], len(job["pages"]), job["error_code"]) == ("completed", 6, None)
            assert job["options"]["has_password"] is True

        # Between upload and extraction it is in one file, also while web is away.
        address = begun_by_tus(services, encrypted.read_bytes())
        upload_id = address.rsplit("/", 1)[-1]
        services.kill("web")
        (kept,) = files_with_it(services)
        assert kept.match(f"*/{upload_id}/private/password")
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        services.start("web")
        services.wait_ready()
        head = services.client.head(f"{services.url}{address}", headers=TUS)
        assert not holds(repr(head.headers.raw).encode())
        for name in ("private/password", "private%2fpassword", "private%252fpassword", "password"):
            hidden = services.get(f"/storage/{kept.parents[2].name}/{upload_id}/{name}")
            assert hidden.status_code in (403, 404), name
        rest = services.client.patch(
            f"{services.url}{address}",
            headers={**TUS, "Upload-Offset": head.headers["upload-offset"], "Content-Type": BODY_TYPE},
            content=encrypted.read_bytes()[int(head.headers["upload-offset"]) :],
        )
        assert rest.status_code == 204, rest.text
        job = services.ended(upload_id)
        assert job["status"] == "completed"
        assert files_with_it(services) == []

        # Nor is one left of an upload that is given up.
        given_up = begun_by_tus(services, encrypted.read_bytes())
        assert services.client.delete(f"{services.url}{given_up}", headers=TUS).status_code == 204

        # What needs the password later says that it is gone.
        refused = services.get(f"/api/jobs/{upload_id}/result?format=pdf")
        assert (refused.status_code, "password" in refused.json()["detail"]) == (422, True)
        answers = [refused, *shown(services, upload_id)]
        assert len(answers) > 25
        assert [answer.url for answer in answers if holds(answer.content + repr(answer.headers.raw).encode())] == []
    assert files_with_it(services) == []
    assert processes.children, "at least one child was looked at"
    assert processes.holders == set()


def test_a_wrong_password_and_none_are_told_apart(tmp_path: Path, encrypted: Path) -> None:
    with running(tmp_path, script=Script()) as services:
        for fields, code in (({"password": USER.lower()}, "wrong_password"), ({}, "encrypted")):
            job = services.ended(services.upload(encrypted, **fields))
            assert (job["status"], job["current_step"], job["error_code"]) == ("failed", "extraction_failed", code)
            assert "upload it again" in job["error"].lower()
            retired = f"active/*/{job['job_id']}"
            services.until(lambda: not list(services.storage.glob(retired)), "the job to be retired")  # noqa: B023
            assert list(services.storage.glob(f"users/*/{job['job_id']}/private/*")) == []
        # Sent with a document that needs none, it does no harm.
        plain = services.ended(services.upload(pdf(tmp_path / "plain.pdf", 1), password=USER))
        assert plain["status"] == "completed"
        assert services.get(f"/api/jobs/{plain['job_id']}/result?format=pdf").content.startswith(b"%PDF")


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    for needle in NEEDLES:
        assert holds(b"a" + needle + b"b")
    assert holds(json.dumps({"password": USER}).encode())
    assert holds(metadata(password=OWNER).encode())
