"""The client names addresses: of a document that the service fetches, and of a webhook."""

import base64
import contextlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from gnosis_ocr import ApiError, AsyncClient, Client
from tests.documents import pdf
from tests.running import Running, running
from tests.scripted import Script

HOOK = "http://127.0.0.1:9"
SECRET = f"whsec_{base64.b64encode(bytes(32)).decode()}"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        return


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address at which the files of the folder are."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("documents")
    pdf(folder / "three.pdf", 3)
    with served(folder) as address:
        yield address


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory, documents: str) -> Iterator[Running]:
    settings = {"FETCH_HOSTS": documents, "WEBHOOK_HOSTS": HOOK, "WEBHOOK_SECRETS": SECRET}
    with running(tmp_path_factory.mktemp("services"), script=Script(), **settings) as services:
        yield services


class LosesFirstAnswer(httpx.HTTPTransport):
    """A connection that breaks when the service has accepted the first document."""

    lost = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        if request.url.path == "/upload" and not self.lost:
            self.lost += 1
            answer.read()
            raise httpx.ReadError("The connection broke.", request=request)
        return answer


def test_a_document_at_an_address_is_one_job_also_where_the_answer_is_lost(services: Running, documents: str) -> None:
    transport = LosesFirstAnswer()
    with httpx.Client(transport=transport) as http, Client(services.url, http=http) as gnosis:
        job_id = gnosis.upload_from(f"{documents}/three.pdf", pages="2", webhook=f"{HOOK}/hook")
        job = gnosis.wait(job_id)
        listed = [summary.job_id for summary in gnosis.jobs()]
    assert transport.lost == 1
    assert (job.status, job.file_info.filename, list(job.pages)) == ("completed", "three.pdf", [2])
    assert job.options.webhook == f"{HOOK}/hook"
    assert listed.count(job_id) == len(listed) == 1


async def test_the_asynchronous_client_names_addresses_too(services: Running, documents: str, tmp_path: Path) -> None:
    async with AsyncClient(services.url) as gnosis:
        fetched = await gnosis.wait(await gnosis.upload_from(f"{documents}/three.pdf", ocr="force"))
        sent = await gnosis.job(await gnosis.upload(pdf(tmp_path / "one.pdf", 1), webhook=f"{HOOK}/hook"))
    assert (fetched.file_info.filename, fetched.options.ocr) == ("three.pdf", "force")
    assert sent.options.webhook == f"{HOOK}/hook"


def test_addresses_that_are_not_allowed_are_refused(services: Running, tmp_path: Path) -> None:
    with Client(services.url) as gnosis:
        with pytest.raises(ApiError) as document:
            gnosis.upload_from("https://files.example.com/scan.pdf")
        with pytest.raises(ApiError) as webhook:
            gnosis.upload(pdf(tmp_path / "one.pdf", 1), webhook="https://hooks.example.com/")
    assert (document.value.status, webhook.value.status) == (422, 422)
