"""A refusal does not wait for the body that it refuses, and its client reads it nevertheless."""

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import TypeVar

import httpx
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, ResponseReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError

from services.serving.exchange import DRAIN_BYTES
from tests.running import Running

PIECE = bytes(1 << 16)
#: Bytes that socket buffers of both sides may hold beside what the service reads (net.ipv4.tcp_rmem and tcp_wmem).
BUFFERED = 32 << 20
FORM = {"Content-Type": "multipart/form-data; boundary=b"}


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A web that admits nobody."""
    found = Running(tmp_path_factory.mktemp("early"), script=None, environ={"API_KEYS": "true"})
    try:
        found.start("web")
        found.until(lambda: answers(found), "web to answer")
        yield found
    finally:
        found.stop()


@pytest.fixture(autouse=True)
def nothing_goes_wrong(web: Running) -> Iterator[None]:
    yield
    assert answers(web)
    log = (web.logs / "web.log").read_text()
    assert "Traceback" not in log
    assert "request_failed" not in log


def answers(web: Running) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return web.get("/version").status_code == 200
    return False


def connected(web: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", web.web_port), timeout=60)


def head(method: str, path: str, length: int) -> bytes:
    fields = {"Host": "localhost", "Tus-Resumable": "1.0.0", **FORM, "Content-Length": str(length)}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode()


def read_all(connection: socket.socket) -> bytes:
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(1 << 16):
            received += chunk
    return received


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/upload"), ("POST", "/api/uploads"), ("POST", "/api/jobs/1/retry"), ("GET", "/health")],
)
def test_an_answer_comes_before_the_first_byte_of_the_body(web: Running, method: str, path: str) -> None:
    with connected(web) as connection:
        connection.sendall(head(method, path, 1_000_000_000))
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 200" if path == "/health" else b"HTTP/1.1 401")
    assert b"\r\nconnection: close\r\n" in answer.lower()


def test_a_client_that_sends_on_reads_the_answer_and_cannot_send_for_ever(web: Running) -> None:
    with connected(web) as connection:
        connection.sendall(head("POST", "/upload", 1_000_000_000))
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 1_000_000_000:
                sent += connection.send(PIECE)
        answer = read_all(connection)
    assert sent < DRAIN_BYTES + BUFFERED
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == 401


@pytest.mark.parametrize("size", [10, 300_000, 20_000_000])
def test_httpx_gets_the_answer(web: Running, size: int) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(0, size, len(PIECE)):
            yield PIECE[:size]

    with httpx.Client(trust_env=False, timeout=60) as client:
        for content in (bytes(size), pieces()):
            answer = client.post(f"{web.url}/upload", content=content, headers=FORM)
            assert (answer.status_code, answer.json()["title"]) == (401, "Unauthorized")
            assert client.get(f"{web.url}/version").status_code == 200


Found = TypeVar("Found", ResponseReceived, DataReceived, StreamEnded, StreamReset)


class Http2:
    """One connection over HTTP/2, frame by frame."""

    def __init__(self, web: Running) -> None:
        self.socket = connected(web)
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self.h2.initiate_connection()
        self.events: list[Event] = []
        self.flush()

    def open(self, stream_id: int, method: str, path: str, *, ends: bool) -> None:
        fields = {":method": method, ":path": path, ":scheme": "http", ":authority": "localhost"}
        self.h2.send_headers(
            stream_id, list((fields | {"content-type": FORM["Content-Type"]}).items()), end_stream=ends
        )
        self.flush()

    def flush(self) -> None:
        self.socket.sendall(self.h2.data_to_send())

    def until(self, kind: type[Found], stream_id: int) -> Found:
        """Read until there is an event of this kind on the stream. Raises `EOFError`."""
        while True:
            for event in self.events:
                if isinstance(event, kind) and event.stream_id == stream_id:
                    return event
            chunk = self.socket.recv(1 << 16)
            if not chunk:
                raise EOFError
            self.events += self.h2.receive_data(chunk)
            self.flush()


@pytest.fixture
def http2(web: Running) -> Iterator[Http2]:
    connection = Http2(web)
    yield connection
    connection.socket.close()


def test_over_http2_the_stream_is_reset_and_the_connection_goes_on(http2: Http2) -> None:
    http2.open(1, "POST", "/upload", ends=False)
    answer = http2.until(ResponseReceived, 1)
    assert dict(answer.headers)[b":status"] == b"401"
    assert json.loads(http2.until(DataReceived, 1).data)["status"] == 401

    sent = 0
    while not any(isinstance(event, StreamReset) for event in http2.events):
        window = min(http2.h2.local_flow_control_window(1), 1 << 14)
        if window:
            http2.h2.send_data(1, bytes(window))
            http2.flush()
            sent += window
        http2.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            http2.events += http2.h2.receive_data(http2.socket.recv(1 << 16))
        http2.socket.settimeout(60)
    reset = http2.until(StreamReset, 1)
    assert reset.error_code is ErrorCodes.NO_ERROR
    assert DRAIN_BYTES <= sent < DRAIN_BYTES + BUFFERED
    http2.until(StreamEnded, 1)

    http2.open(3, "GET", "/version", ends=True)
    assert dict(http2.until(ResponseReceived, 3).headers)[b":status"] == b"200"
    http2.until(StreamEnded, 3)


def test_over_http2_an_answered_request_that_goes_on_harms_no_other(http2: Http2) -> None:
    for stream_id in range(1, 41, 2):
        http2.open(stream_id, "GET", "/version", ends=False)
    for stream_id in range(1, 41, 2):
        http2.until(ResponseReceived, stream_id)
        with contextlib.suppress(ProtocolError):  # where the reset has come already
            http2.h2.send_data(stream_id, b"late", end_stream=True)
    http2.flush()
    for stream_id in range(1, 41, 2):
        http2.until(StreamEnded, stream_id)


def test_httpx_gets_the_answer_over_http2_too(web: Running) -> None:
    with httpx.Client(trust_env=False, http1=False, http2=True, timeout=60) as client:
        for _ in range(2):
            answer = client.post(f"{web.url}/upload", content=bytes(DRAIN_BYTES // 2), headers=FORM)
            assert (answer.status_code, answer.json()["title"]) == (401, "Unauthorized")
