"""How many of our modules one request passes through, and how often it moves between them.

    python -m bench.hops [--pages 4] [--json | --modules | --pairs N]

A reader who follows a request opens each of these modules; each move is a jump from one file to another. The shipped
web and worker apps run in this process over a store in memory. The queue takes tasks and delivers none: this program
posts them as the queue does. The engine is the tests' scripted one. The job runs twice and the second run counts, so
that imports and first-time set-up do not.

Counted are functions of `services` and `libs`; what runs in a child process (the renderer) is not seen.

- modules: in how many different modules a function was called.
- moves: calls into another module, and their returns. The caller is the nearest function of ours on the stack; a call
  by the event loop, a thread or a framework with none of ours above it is a move too. A coroutine that resumes is not.
- switches: how often a function is entered or resumed in another module than the one before it, whichever task it
  belongs to. This is how `moves` was counted before this program existed; it varies by a few per cent from run to run,
  since it depends on the order in which tasks run.
"""

import argparse
import asyncio
import contextlib
import dis
import json
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import httpx
import msgspec
import structlog
from starlette.applications import Starlette

from libs.internal_token import InternalToken
from libs.storage.memory import MemoryStore
from libs.taskqueue.local import LocalQueue
from libs.taskqueue.queue import EXTRACT_QUEUE, OCR_QUEUE
from libs.taskqueue.queue_settings import read_queue_settings
from libs.taskqueue.remote import RemoteQueue
from libs.taskqueue.task import OcrTask, encode
from services.serving.layers import Layers
from services.web.app import create_app as create_web
from services.web.config import WebConfig
from services.worker.app import create_app as create_worker
from services.worker.config import WorkerConfig
from tests.documents import pdf

ROOT = Path(__file__).parent.parent
QUEUES = read_queue_settings(ROOT / "deploy" / "queue.yaml")
TOKEN = "hops"
USER = {"X-User-Email": "reader@example.org"}

#: Chosen: short, and more than one page, so that work done once and work done for each page both show.
PAGES = 4

# The low two bits of RESUME's argument are 0 where a function begins and 1 to 3 where a coroutine or generator resumes
# (CPython's documentation of `dis`, RESUME).
_RESUME = dis.opmap["RESUME"]
_RESUMES = 0b11


class Hops(msgspec.Struct, frozen=True, kw_only=True):
    """One request."""

    #: Module -> module it called -> calls. "" called what was called by the event loop, a thread or a framework.
    calls: dict[str, dict[str, int]]
    #: Entries and resumptions in another module than the one before.
    switches: int

    @property
    def modules(self) -> list[str]:
        """The modules in which a function was called."""
        return sorted({called for calls in self.calls.values() for called in calls})

    @property
    def moves(self) -> int:
        """Calls into another module, and their returns."""
        return 2 * sum(sum(calls.values()) for calls in self.calls.values())

    def pairs(self) -> list[tuple[str, str, int]]:
        """Caller, called module and calls, most calls first."""
        found = [(caller, called, count) for caller, calls in self.calls.items() for called, count in calls.items()]
        return sorted(found, key=lambda pair: -pair[2])


class Tracer:
    """Watches this thread, and those that start while it is installed."""

    def __init__(self, root: Path, packages: tuple[str, ...]) -> None:
        """Modules are the Python files below `root` in these top-level packages."""
        self._root = root
        self._packages = packages
        self._codes: dict[CodeType, tuple[str, bytes]] = {}
        self._calls: Counter[tuple[str, str]] = Counter()
        self._switches = 0
        self._latest = ""
        self._counts = False

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Watch until the block ends."""
        threading.setprofile(self._event)
        sys.setprofile(self._event)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    @contextlib.contextmanager
    def counting(self, into: dict[str, Hops], request: str) -> Iterator[None]:
        """Count what happens within the block, into `into[request]`."""
        self._calls, self._switches, self._latest = Counter(), 0, ""
        self._counts = True
        try:
            yield
        finally:
            self._counts = False
        calls: dict[str, dict[str, int]] = {}
        for (caller, called), count in sorted(self._calls.items()):
            calls.setdefault(caller, {})[called] = count
        into[request] = Hops(calls=calls, switches=self._switches)

    def _event(self, frame: FrameType, event: str, _: object) -> None:
        if not self._counts or event != "call":
            return
        module, opcodes = self._code(frame.f_code)
        if not module:
            return
        if module != self._latest:
            self._switches += 1
            self._latest = module
        if opcodes[frame.f_lasti] == _RESUME and opcodes[frame.f_lasti + 1] & _RESUMES:
            return
        if (caller := self._caller(frame)) != module:
            self._calls[caller, module] += 1

    def _caller(self, frame: FrameType) -> str:
        """The module of the nearest function of ours above this one, or ""."""
        above = frame.f_back
        while above is not None:
            module, _ = self._code(above.f_code)
            if module:
                return module
            above = above.f_back
        return ""

    def _code(self, code: CodeType) -> tuple[str, bytes]:
        """The module and the instructions; each is costly to make and asked for at every call."""
        known = self._codes.get(code)
        if known is None:
            known = self._codes[code] = (self._module(code), code.co_code)
        return known

    def _module(self, code: CodeType) -> str:
        """The name of the module, or "" where it is not ours or the code is a module's own, run by its import."""
        path = Path(code.co_filename)
        if code.co_name == "<module>" or not path.is_relative_to(self._root):
            return ""
        parts = path.relative_to(self._root).with_suffix("").parts
        return ".".join(parts).removesuffix(".__init__") if parts[0] in self._packages else ""


class KeptTasks:
    """A service's queue, which also keeps every task that it takes."""

    def __init__(self, queue: Any, kept: list[tuple[str, OcrTask, str]]) -> None:
        self._queue = queue
        self._kept = kept

    async def enqueue(self, queue: str, task: OcrTask, *, name: str, delay_seconds: float = 0.0) -> None:
        """See `TaskQueue`."""
        await self._queue.enqueue(queue, task, name=name, delay_seconds=delay_seconds)
        self._kept.append((queue, task, name))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)


class Services:
    """Web and worker in this process."""

    def __init__(self, web: httpx.AsyncClient, worker: httpx.AsyncClient, kept: list[tuple[str, OcrTask, str]]) -> None:
        self._web = web
        self._worker = worker
        self._kept = kept

    async def ready(self) -> None:
        """Return when the worker's engine is loaded."""
        while (await self._worker.get("/ready")).status_code != 200:  # noqa: ASYNC110 - it is another app, over HTTP
            await asyncio.sleep(0.02)

    async def upload(self, document: bytes) -> str:
        """Upload a PDF; its job."""
        reply = await self._web.post("/upload", files={"file": ("hops.pdf", document)}, headers=USER)
        return str(reply.raise_for_status().json()["job_id"])

    async def extract(self) -> None:
        """Deliver the newest extraction task to web."""
        await self._deliver(EXTRACT_QUEUE, self._web, "/internal/extract")

    async def batch(self) -> None:
        """Deliver the newest OCR task to the worker."""
        await self._deliver(OCR_QUEUE, self._worker, "/process-ocr-batch")

    async def status(self, job_id: str) -> dict[str, Any]:
        """The job's record."""
        reply = await self._web.get(f"/api/jobs/{job_id}/status", headers=USER)
        return dict(reply.raise_for_status().json())

    async def _deliver(self, queue: str, client: httpx.AsyncClient, path: str) -> None:
        task, name = [(task, name) for taken_by, task, name in self._kept if taken_by == queue][-1]
        headers = {"X-CloudTasks-TaskName": name, "X-Internal-Token": TOKEN, "Content-Type": "application/json"}
        (await client.post(path, content=encode(task), headers=headers)).raise_for_status()


@contextlib.asynccontextmanager
async def started(folder: Path) -> AsyncIterator[Services]:
    """Both services over one store in memory, ready; `folder` is for what they keep in files."""
    store = MemoryStore()
    kept: list[tuple[str, OcrTask, str]] = []
    layers = Layers(store=lambda _: store, queue=lambda queue: KeptTasks(queue, kept))

    @contextlib.asynccontextmanager
    async def web_queue(_: InternalToken) -> AsyncIterator[LocalQueue]:
        # Not started, so it delivers nothing.
        yield LocalQueue(QUEUES, dict.fromkeys(QUEUES, "http://127.0.0.1:9"))

    @contextlib.asynccontextmanager
    async def worker_queue(token: InternalToken) -> AsyncIterator[RemoteQueue]:
        accepting = httpx.MockTransport(lambda _: httpx.Response(201, json={}))
        async with httpx.AsyncClient(transport=accepting) as client:
            yield RemoteQueue("http://web", token.headers, client)

    # A sweep would be counted with the request beside it.
    web_config = WebConfig(storage_path=str(folder), internal_token=TOKEN, sweep_seconds=86_400.0)
    worker_config = WorkerConfig(storage_path=str(folder), internal_token=TOKEN, ocr_engine="tests.scripted:create")
    web = create_web(web_config, QUEUES, drained=[], open_queue=web_queue, layers=layers)
    worker = create_worker(worker_config, drained=[], open_queue=worker_queue, layers=layers)
    async with served(web) as web_client, served(worker) as worker_client:
        services = Services(web_client, worker_client, kept)
        await services.ready()
        yield services


@contextlib.asynccontextmanager
async def served(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the app, which runs until the block ends."""
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")
    async with app.router.lifespan_context(app), client:
        yield client


async def measure(pages: int = PAGES) -> dict[str, Hops]:
    """One request of each kind, of a job of so many pages."""
    tracer = Tracer(ROOT, ("services", "libs"))
    hops: dict[str, Hops] = {}
    with tempfile.TemporaryDirectory() as name, tracer.installed():
        document = pdf(Path(name) / "hops.pdf", pages).read_bytes()
        async with started(Path(name) / "storage") as services:
            for _ in range(2):
                with tracer.counting(hops, "upload"):
                    job_id = await services.upload(document)
                with tracer.counting(hops, "extract"):
                    await services.extract()
                with tracer.counting(hops, "batch"):
                    await services.batch()
                with tracer.counting(hops, "status"):
                    record = await services.status(job_id)
                assert record["status"] == "completed", record
    return hops


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Modules that a request passes through, and moves between them.")
    parser.add_argument("--pages", type=int, default=PAGES, help="pages of the document (default: %(default)s)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON, with the calls from module to module")
    form.add_argument("--modules", action="store_true", help="print also each request's modules, and calls into each")
    form.add_argument("--pairs", type=int, default=0, metavar="N", help="print also the N pairs with the most calls")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    hops = asyncio.run(measure(options.pages))
    if options.json:
        print(json.dumps({request: report(of) for request, of in hops.items()}, indent=2))
        return
    print(f"{'request':<10}{'modules':>9}{'moves':>7}{'switches':>10}")
    for request, of in hops.items():
        print(f"{request:<10}{len(of.modules):>9}{of.moves:>7}{of.switches:>10}")
    if options.modules:
        for request, of in hops.items():
            print(f"\n{request}")
            for module in of.modules:
                print(f"{sum(calls.get(module, 0) for calls in of.calls.values()):>6}  {module}")
    if options.pairs:
        for request, of in hops.items():
            print(f"\n{request}")
            for caller, called, count in of.pairs()[: options.pairs]:
                print(f"{count:>6}  {caller or '(none of ours)'} -> {called}")


def report(hops: Hops) -> dict[str, Any]:
    """A request as JSON has it."""
    return {"modules": hops.modules, "moves": hops.moves, "switches": hops.switches, "calls": hops.calls}


if __name__ == "__main__":
    main()
