"""Webhooks of the running services, through kills of web."""

import base64
import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from libs.taskqueue.queue import WEBHOOK_QUEUE
from libs.taskqueue.queue_settings import SHIPPED_QUEUE_FILE
from tests.documents import pdf
from tests.required import need_package
from tests.running import Running, running
from tests.scripted import Script

need_package("standardwebhooks")
from standardwebhooks import Webhook  # noqa: E402

SECRET = f"whsec_{base64.b64encode(bytes(32)).decode()}"


class Receiver:
    """Answers 500 so many times, then 204. Keeps ids and bodies, each verified."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.secret = ""
        self.asked: list[str] = []
        self.accepted: list[dict[str, object]] = []
        self.url = ""

    def answer(self, headers: dict[str, str], body: bytes) -> int:
        event = Webhook(self.secret).verify(body, headers)
        self.asked.append({name.lower(): value for name, value in headers.items()}["webhook-id"])
        if len(self.asked) <= self.failures:
            return 500
        self.accepted.append(event)
        return 204


@contextlib.contextmanager
def receiving(failures: int) -> Iterator[Receiver]:
    receiver = Receiver(failures)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(receiver.answer(dict(self.headers), body))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


def quick_queue(folder: Path, *, first: str) -> str:
    """A queue file as shipped, but that webhooks are tried again after so long."""
    file = yaml.safe_load(SHIPPED_QUEUE_FILE.read_text())
    file["queues"][WEBHOOK_QUEUE]["retryConfig"] |= {"minBackoff": first, "maxBackoff": first}
    path = folder / "queue.yaml"
    path.write_text(yaml.safe_dump(file))
    return str(path)


def delivered(services: Running, receiver: Receiver, job_id: str) -> list[int]:
    """Wait until the webhook was delivered; the answers that web was given."""

    def look() -> list[int] | None:
        with contextlib.suppress(httpx.TransportError):
            found = services.get(f"/api/jobs/{job_id}/webhooks").json()["webhooks"]
            if found and found[0]["state"] == "delivered":
                return [attempt["status"] for attempt in found[0]["attempts"]]
        return None

    answers: list[int] = services.until(look, "the webhook to be delivered")
    assert receiver.secret
    return answers


@pytest.mark.slow
def test_a_receiver_that_fails_ten_times_then_accepts_is_told_once(tmp_path: Path) -> None:
    document = pdf(tmp_path / "a.pdf", 2)
    with receiving(10) as receiver:
        settings = {"WEBHOOK_HOSTS": receiver.url.removesuffix("/hook"), "WEBHOOK_SECRETS": SECRET}
        queue = quick_queue(tmp_path, first="0.05s")
        with running(tmp_path, script=Script(fail=(2,)), QUEUE_FILE=queue, **settings) as services:
            receiver.secret = services.get("/api/webhooks").json()["secrets"][0]
            job_id = services.upload(document, webhook=receiver.url)
            assert delivered(services, receiver, job_id) == [500] * 10 + [204]
            job = services.status(job_id)
        assert len(receiver.accepted) == 1
        assert len(receiver.asked) == 11 and len(set(receiver.asked)) == 1
        (event,) = receiver.accepted
        assert event["type"] == "job.partial"
        assert job["options"]["webhook"] == receiver.url
        assert "of the test document" not in json.dumps(event), "no text of the document"


def test_a_web_that_is_killed_between_the_end_and_the_delivery_still_tells_it_once(tmp_path: Path) -> None:
    document = pdf(tmp_path / "a.pdf", 1)
    with receiving(1) as receiver:
        settings = {"WEBHOOK_HOSTS": receiver.url.removesuffix("/hook"), "WEBHOOK_SECRETS": SECRET}
        # Web dies with the task of the second attempt in its memory.
        queue = quick_queue(tmp_path, first="2s")
        with running(tmp_path, script=Script(), QUEUE_FILE=queue, **settings) as services:
            receiver.secret = services.get("/api/webhooks").json()["secrets"][0]
            job_id = services.upload(document, webhook=receiver.url)
            services.until(lambda: receiver.asked, "the first attempt")
            services.kill("web")
            services.start("web")
            assert delivered(services, receiver, job_id)[-1] == 204
        assert len(receiver.accepted) == 1
        assert len(set(receiver.asked)) == 1
