"""One round: a storm in which processes die, then calm in which every job has to end, then the reckoning."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import msgspec
from prometheus_client import CollectorRegistry

from libs.jobstate import document as documents
from libs.jobstate.document import TornDocument
from libs.storage import layout
from libs.storage.local import LocalStore
from libs.taskqueue.task import OcrTask
from services.web.metrics import WebMetrics
from services.web.sweep import Sweeper
from services.web.tus.completion import Completion
from tests.chaos.around import AroundStore
from tests.chaos.disk import FULL, READ_ONLY, Disk
from tests.chaos.folder import Folder
from tests.chaos.history import RememberingStore, versions
from tests.chaos.journal import Entry, Journal, What, now
from tests.chaos.programs import LEASE_SECONDS, Programs
from tests.chaos.replay import Replay
from tests.chaos.users import User
from tests.simulation.script import Document

STUCK_SECONDS = LEASE_SECONDS + 60
STRIKE_SECONDS = 0.5  # between random kills, in the mean
HANDS = 9  # documents that the users have in work at once


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """A round's end. `stories` are told of the jobs of which something is broken; `idle_seconds` is how long a job
    had to wait, at most, after the last fault or its own last progress."""

    entries: list[Entry]
    ends: list[str]
    pages: int
    recognitions: int
    lost: int
    duplicated: int
    stuck: int
    idle_seconds: float
    storm_seconds: float
    calm_seconds: float
    broken: list[str]
    stories: list[list[str]]


class Round:
    """Lives in a folder of its own, which it leaves behind."""

    def __init__(self, root: Path, *, seed: str, may_mount: bool, struck: Counter[str], quick: bool = False) -> None:
        self._folder = Folder(root=root)
        own = self._folder
        for folder in (own.locks, own.library, own.trials, own.logs, own.temporary):
            folder.mkdir()
        self._rng = random.Random(seed)
        self._disk = Disk(self._folder, may_mount=may_mount)
        self._journal = Journal(self._folder.journal)
        self._programs = Programs(self._folder, self._journal, self._rng, struck, quick=quick)
        self._last_outage = 0.0
        self._idle = 0.0

    async def run(self, kills: int) -> Verdict:
        """Go through it."""
        began_at, began = now(), time.monotonic()
        self._programs.armed = 0.7
        self._programs.start()
        try:
            async with httpx.AsyncClient(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)) as client:
                complaints = await self._storm(kills, client)
            cleared = time.monotonic()
            stuck = await self._calm()
            calm_seconds = time.monotonic() - cleared
        finally:
            await self._programs.end()
        try:
            await self._sweep_later()
            return self._reckon(began_at, complaints, stuck, cleared - began, calm_seconds)
        finally:
            self._journal.close()
            self._disk.close()

    async def _storm(self, kills: int, client: httpx.AsyncClient) -> list[tuple[str, str]]:
        users = [
            User(
                f"user{number % 4}@example.org",
                url=self._programs.url,
                client=client,
                rng=random.Random(self._rng.random()),
                folder=self._folder,
                journal=self._journal,
            )
            for number in range(HANDS)
        ]
        lives = [asyncio.create_task(user.live()) for user in users]
        outages = asyncio.create_task(self._break_the_disk())
        while self._programs.kills < kills:
            await asyncio.sleep(self._rng.expovariate(1 / STRIKE_SECONDS))
            victim = self._programs.victim()
            if victim is not None and self._rng.random() < 0.08:
                self._programs.stop(victim)
            elif victim is not None:
                self._programs.kill(victim)
            for life in lives:
                if life.done():
                    life.result()
        outages.cancel()
        await asyncio.gather(outages, return_exceptions=True)
        for user in users:
            user.over.set()
        await asyncio.gather(*lives)
        return [complaint for user in users for complaint in user.complaints]

    async def _break_the_disk(self) -> None:
        kinds = [FULL, READ_ONLY]
        self._rng.shuffle(kinds)
        while True:
            await asyncio.sleep(self._rng.uniform(3, 25))
            kinds.reverse()
            self._journal.note(What.OUTAGE, name=kinds[0])
            outage = asyncio.create_task(self._disk.outage(kinds[0], self._rng.uniform(0.5, 3)))
            try:
                await asyncio.shield(outage)
            finally:
                if not await outage:
                    self._journal.note(What.OUTAGE, name=f"not {kinds[0]}: refused")
                self._last_outage = asyncio.get_running_loop().time()

    async def _calm(self) -> dict[str, float]:
        """Wait for every open job; those that do not get on, with the seconds they have waited."""
        self._programs.armed = 0.0
        self._programs.go_on()
        loop = asyncio.get_running_loop()
        ahead = time.time() - loop.time()
        self._last_outage = max(self._last_outage, loop.time())
        while open_jobs := _open_jobs(self._folder.storage):
            last_fault = ahead + max(self._last_outage, self._programs.last_death)
            idle = {session: time.time() - max(last_fault, at) for session, at in open_jobs.items()}
            self._idle = max(self._idle, *idle.values())
            if stuck := {session: seconds for session, seconds in idle.items() if seconds > STUCK_SECONDS}:
                return stuck
            await asyncio.sleep(0.3)
        return {}

    async def _sweep_later(self) -> None:
        """What the service's own sweep removes in time, as if a day had passed: nothing of it may stay."""
        store = RememberingStore(
            LocalStore(self._folder.storage),
            root=self._folder.storage,
            history=self._folder.history,
            locks=self._folder.locks,
        )
        later, nowhere = _Tomorrow(store), _Nowhere()
        metrics = WebMetrics(CollectorRegistry())
        completion = Completion(store=later, queue=nowhere, metrics=metrics, lease_seconds=LEASE_SECONDS)
        sweeper = Sweeper(
            store=later, queue=nowhere, completion=completion, every_seconds=1, lease_seconds=LEASE_SECONDS
        )
        await sweeper.sweep()

    def _reckon(
        self,
        began_at: int,
        complaints: list[tuple[str, str]],
        stuck: Mapping[str, float],
        storm_seconds: float,
        calm_seconds: float,
    ) -> Verdict:
        library = {
            file.name: msgspec.json.decode(file.read_bytes(), type=Document) for file in self._folder.library.iterdir()
        }
        entries = self._journal.entries()
        replay = Replay(library, began_at)
        replay.run(entries, versions(self._folder.storage, self._folder.history))
        for session, text in complaints:
            replay.checker.fail(text, session)
        for session, seconds in stuck.items():
            replay.checker.fail(f"stuck for {seconds:.0f} s", session)
        if replay.checker.broken:
            self._disk.keep()
        facts = replay.checker.sessions.values()
        return Verdict(
            entries=entries,
            ends=replay.ends(),
            pages=sum(len(known.job.pages) for known in facts if known.job is not None),
            recognitions=replay.recognitions,
            lost=len(replay.lost()),
            duplicated=len(replay.duplicated),
            stuck=len(stuck),
            idle_seconds=self._idle,
            storm_seconds=storm_seconds,
            calm_seconds=calm_seconds,
            broken=replay.checker.broken,
            stories=[replay.story.lines(session) for session in replay.culprits()],
        )


class _Tomorrow(AroundStore):
    """A store a day later."""

    async def now(self) -> datetime:
        return await self.inner.now() + timedelta(hours=25)


class _Nowhere:
    """A `TaskQueue` after the end: nothing is left to wake."""

    async def enqueue(self, queue: str, task: OcrTask, *, name: str, delay_seconds: float = 0.0) -> None:
        return None


def _open_jobs(storage: Path) -> dict[str, float]:
    """The jobs that have not ended, and when something of each was last written (seconds since 1970).

    An upload that was cut off is no job.
    """
    found = {}
    for index in (storage / layout.ACTIVE).glob("*/*"):
        user_hash, session = index.parts[-2:]
        folder = storage / layout.session_prefix(user_hash, session)
        if (folder / layout.INTAKE).exists() and not (storage / layout.tombstone_path(user_hash, session)).exists():
            found[session] = max((_written(file) for file in folder.rglob("*")), default=0.0)
    for record in storage.glob(f"{layout.USERS}*/*/{layout.DOCUMENT}"):
        session = record.parent.name
        if session not in found and not _has_ended(record):
            found[session] = _written(record)
    return found


def _written(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:  # deleted just now
        return 0.0


def _has_ended(record: Path) -> bool:
    try:
        return documents.decode(record.read_bytes()).ended
    except (FileNotFoundError, TornDocument):
        return False
