"""The hub as a server: threads, one a connection."""

import hashlib
import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from tests.emulators.hub.model import COMMIT, NAME, Files

CHUNK = 16 << 10
LARGE = 4096  # from this size on a file is kept apart, as with Git LFS


class Repository:
    """One model at one commit, which `main` names."""

    def __init__(self, files: Files, *, gated: bool = False, private: bool = False) -> None:
        self.files = files
        self.gated = gated
        self.private = private

    def listed(self, path: str) -> dict[str, Any]:
        """A file as the hub lists it."""
        data = self.files[path]
        told: dict[str, Any] = {"path": path, "size": len(data), "oid": git_hash(data), "type": "file"}
        if is_large(path, data):
            told["lfs"] = {"oid": sha256(data), "size": len(data), "pointerSize": 134}
        return told


class Hub:
    """`with Hub() as hub:` serves at `hub.url` until the block ends.

    `cuts` break so many of the next answers of content half-way; `damaged` falsifies one byte of so many; `busy`
    answers so many requests with 503. From its byte `hold_from` on, of all that is sent, content waits for `go_on`; so
    does a whole large file whose name, its `sha256`, is in `held`.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.token = "hf_good"
        self.asked: Counter[str] = Counter()
        self.sent = 0
        self.cuts = 0
        self.damaged = 0
        self.busy = 0
        self.hold_from: int | None = None
        self.held: set[str] = set()
        self.tokens_at_the_store: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        cast(Any, self._server).hub = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="hub", daemon=True)

    @property
    def url(self) -> str:
        """What `HF_ENDPOINT` is to be."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def store_url(self) -> str:
        """Where large files are, under another name, so that a token must not go there."""
        return f"http://localhost:{self._server.server_port}/store"

    def add(self, files: Files, *, name: str = NAME, gated: bool = False, private: bool = False) -> Repository:
        """A new repository."""
        self.repositories[name] = Repository(files, gated=gated, private=private)
        return self.repositories[name]

    def go_on(self) -> None:
        """Hold nothing any more."""
        self.hold_from = None
        self.held.clear()

    def holds(self, digest: str) -> bool:
        """Whether content of that file has to wait."""
        return digest in self.held or (self.hold_from is not None and self.sent >= self.hold_from)

    def __enter__(self) -> "Hub":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.go_on()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> Hub:
        return cast(Hub, cast(Any, self.server).hub)

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: the test's output is the test's."""

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        hub = self.hub
        if hub.busy > 0:
            hub.busy -= 1
            self._refuse(503)
            return
        if path.startswith("/store/"):
            hub.tokens_at_the_store.append(self.headers.get("Authorization", ""))
            self._content(path.removeprefix("/store/"))
            return
        is_api = path.startswith("/api/models/")
        words = path.removeprefix("/api/models/").strip("/").split("/")
        name, verb, rest = "/".join(words[:2]), words[2] if len(words) > 2 else "", words[3:]
        hub.asked[f"{self.command} {verb}"] += 1
        repository = hub.repositories.get(name)
        known = self.headers.get("Authorization") == f"Bearer {hub.token}"
        if repository is None or (repository.private and not known):
            self._refuse(404 if known else 401, "RepoNotFound")
        elif not rest or rest[0] not in ("main", COMMIT):
            self._refuse(404, "RevisionNotFound")
        elif is_api and verb == "revision":
            self._json(_information(name, repository))
        elif is_api and verb == "tree":
            self._json([repository.listed(file) for file in repository.files])
        elif verb != "resolve":
            self._refuse(404)
        elif repository.gated and not known:
            self._refuse(401, "GatedRepo")
        elif (file := "/".join(rest[1:])) not in repository.files:
            self._refuse(404, "EntryNotFound")
        else:
            self._resolve(file, repository.files[file])

    def _resolve(self, file: str, data: bytes) -> None:
        head = {"X-Repo-Commit": COMMIT}
        if is_large(file, data):
            address = f"{self.hub.store_url}/{sha256(data)}"
            linked = {"X-Linked-Etag": f'"{sha256(data)}"', "X-Linked-Size": str(len(data))}
            self._send(302, b"", {**head, **linked, "Location": address})
        else:
            self._send(200, data, {**head, "ETag": f'"{git_hash(data)}"'})

    def _content(self, digest: str) -> None:
        """A large file, or its end: `Range: bytes=N-`."""
        found = [data for held in self.hub.repositories.values() for data in held.files.values()]
        data = next((data for data in found if sha256(data) == digest), None)
        if data is None:
            self._refuse(404)
            return
        wanted = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")
        start = int(wanted[0])
        part = data[start : int(wanted[1]) + 1 if wanted[1] else len(data)]
        if self.hub.damaged > 0 and self.command == "GET":
            self.hub.damaged -= 1
            part = part[:-1] + bytes([part[-1] ^ 1])
        ranges = {"Content-Range": f"bytes {start}-{start + len(part) - 1}/{len(data)}", "ETag": f'"{digest}"'}
        self._send(206 if "Range" in self.headers else 200, part, ranges, digest=digest)

    def _json(self, told: object) -> None:
        self._send(200, json.dumps(told).encode(), {"Content-Type": "application/json"})

    def _refuse(self, status: int, code: str = "") -> None:
        head = {"X-Error-Code": code, "X-Error-Message": code} if code else {}
        self._send(status, b"{}", {**head, "Content-Type": "application/json"})

    def _send(self, status: int, data: bytes, head: dict[str, str], *, digest: str = "") -> None:
        self.send_response(status)
        for name, value in head.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if not digest:
            self.wfile.write(data)
            return
        until = len(data)
        if self.hub.cuts > 0:
            self.hub.cuts -= 1
            until = len(data) // 2
            self.close_connection = True
        try:
            for offset in range(0, until, CHUNK):
                # A look every 10 ms: the test changes plain attributes, and `sent` grows in other threads, too.
                while self.hub.holds(digest):
                    time.sleep(0.01)
                chunk = data[offset : min(offset + CHUNK, until)]
                self.wfile.write(chunk)
                self.hub.sent += len(chunk)
        except OSError:
            self.close_connection = True  # the client is gone


def is_large(path: str, data: bytes) -> bool:
    """Whether the hub keeps a file apart from the repository."""
    return path.endswith(".safetensors") or len(data) >= LARGE


def sha256(data: bytes) -> str:
    """The name of a large file."""
    return hashlib.sha256(data).hexdigest()


def git_hash(data: bytes) -> str:
    """The name that git has for a file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _information(name: str, repository: Repository) -> dict[str, Any]:
    siblings = []
    for file in repository.files:
        listed = repository.listed(file)
        told = {"rfilename": file, "size": listed["size"], "blobId": listed["oid"]}
        if "lfs" in listed:
            lfs = listed["lfs"]
            told["lfs"] = {"sha256": lfs["oid"], "size": lfs["size"], "pointerSize": lfs["pointerSize"]}
        siblings.append(told)
    return {"id": name, "modelId": name, "sha": COMMIT, "private": repository.private, "siblings": siblings}
