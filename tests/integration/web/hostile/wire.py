"""Requests and forms as they go over the wire, and what the answers hold."""

import json
import socket

import httpx

NESTED = b"[" * 10_000 + b"]" * 10_000
FORM = "multipart/form-data; boundary=b"


def part(name: str, content: bytes, *, filename: str | None = None, headers: bytes = b"") -> bytes:
    file = f'; filename="{filename}"' if filename is not None else ""
    disposition = f'Content-Disposition: form-data; name="{name}"{file}'.encode()
    return b"--b\r\n" + disposition + b"\r\n" + headers + b"\r\n" + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--b--\r\n"


def raw(port: int, *pieces: bytes, half_close: bool = False) -> bytes:
    """Send the pieces as they are; what came back until the other side closed or answered in full."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        for piece in pieces:
            connection.sendall(piece)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
        return received


def request(method: str, path: bytes, body: bytes = b"", **headers: str | bytes) -> bytes:
    """A request as it goes over the wire; `Connection: close`, so that the answer has an end."""
    fields: dict[str, str | bytes] = {"Host": "localhost", "Connection": "close", "Content-Length": str(len(body))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [
        name.encode() + b": " + (value if isinstance(value, bytes) else value.encode("latin-1"))
        for name, value in fields.items()
    ]
    return b"\r\n".join([method.encode() + b" " + path + b" HTTP/1.1", *lines, b"", body])


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:200]
    return int(answer.split()[1])


def problem_of(answer: bytes) -> dict[str, object]:
    """The problem that a raw answer holds."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head, answer[:300]
    found: dict[str, object] = json.loads(body)
    assert found["status"] == status_of(answer)
    assert found["hint"]
    return found


def assert_problem(answer: httpx.Response, *statuses: int) -> None:
    assert answer.status_code in statuses, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["hint"]
