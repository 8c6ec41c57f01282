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

from libs.storage.store import DirectStore
from libs.taskqueue.task import OcrTask
from services.web.metrics import WebMetrics
from services.web.sweeper import Sweeper
from services.web.upload.completion import Completion
from tests.chaos.around import AroundStore
from tests.chaos.bucket import CloudGround
from tests.chaos.folder import Folder
from tests.chaos.ground import Ground, LocalGround
from tests.chaos.journal import Entry, Journal, What, now
from tests.chaos.programs import Programs
from tests.chaos.replay import Replay
from tests.chaos.users import User
from tests.simulation.script import Document
from tests.webhooks import webhooks

STUCK_SECONDS = 60.0  # and a lease
STRIKE_SECONDS = 0.5  # between random kills, in the mean
EMAILS = tuple(f"user{number}@example.org" for number in range(4))
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
    idle_allowed: float
    storm_seconds: float
    calm_seconds: float
    broken: list[str]
    stories: list[list[str]]


class Round:
    """Lives in a folder of its own, which it leaves behind."""

    def __init__(
        self, root: Path, *, seed: str, struck: Counter[str], in_cloud: bool, may_mount: bool, quick: bool = False
    ) -> None:
        self._folder = Folder(root=root)
        own = self._folder
        for folder in (own.locks, own.library, own.trials, own.logs, own.temporary):
            folder.mkdir()
        self._rng = random.Random(seed)
        self._ground: Ground = CloudGround(own) if in_cloud else LocalGround(own, may_mount=may_mount)
        self._stuck_seconds = self._ground.lease_seconds + STUCK_SECONDS
        self._journal = Journal(self._folder.journal)
        self._programs = Programs(self._folder, self._ground, self._journal, self._rng, struck, quick=quick)
        self._last_outage = 0.0
        self._idle = 0.0

    async def run(self, kills: int) -> Verdict:
        """Go through it."""
        began_at, began = now(), time.monotonic()
        self._programs.armed = 0.7
        await self._ground.prepare(self._programs.url, list(EMAILS))
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
            self._ground.close()

    async def _storm(self, kills: int, client: httpx.AsyncClient) -> list[tuple[str, str]]:
        users = [
            User(
                self._ground.proof(EMAILS[number % len(EMAILS)]),
                direct=self._ground.in_cloud,
                url=self._programs.url,
                client=client,
                rng=random.Random(self._rng.random()),
                folder=self._folder,
                journal=self._journal,
            )
            for number in range(HANDS)
        ]
        lives = [asyncio.create_task(user.live()) for user in users]
        outages = asyncio.create_task(self._break_the_storage())
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

    async def _break_the_storage(self) -> None:
        kinds = list(self._ground.outages)
        self._rng.shuffle(kinds)
        while True:
            await asyncio.sleep(self._rng.uniform(3, 25))
            kinds.reverse()
            self._journal.note(What.OUTAGE, name=kinds[0])
            outage = asyncio.create_task(self._ground.outage(kinds[0], self._rng.uniform(0.5, 3)))
            try:
                await asyncio.shield(outage)
            finally:
                if not await outage:
                    self._journal.note(What.OUTAGE, name=f"not {kinds[0]}: refused")
                self._last_outage = asyncio.get_running_loop().time()

    async def _calm(self) -> dict[str, float]:
        """Wait for every open job; those that do not get on, with the seconds they have waited."""
        self._programs.armed = 0.0
        self._ground.clear_up()
        self._programs.go_on()
        loop = asyncio.get_running_loop()
        ahead = time.time() - loop.time()
        self._last_outage = max(self._last_outage, loop.time())
        while open_jobs := await self._ground.open_jobs():
            last_fault = ahead + max(self._last_outage, self._programs.last_death)
            idle = {session: time.time() - max(last_fault, at) for session, at in open_jobs.items()}
            self._idle = max(self._idle, *idle.values())
            if stuck := {session: seconds for session, seconds in idle.items() if seconds > self._stuck_seconds}:
                return stuck
            await asyncio.sleep(0.3)
        return {}

    async def _sweep_later(self) -> None:
        """What the service's own sweep removes in time, as if a day had passed: nothing of it may stay."""
        async with self._ground.store() as store:
            later, nowhere = _Tomorrow(store), _Nowhere()
            completion = Completion(
                store=later,
                direct=store if isinstance(store, DirectStore) else None,
                queue=nowhere,
                metrics=WebMetrics(CollectorRegistry()),
                lease_seconds=self._ground.lease_seconds,
            )
            sweeper = Sweeper(
                store=later,
                queue=nowhere,
                completion=completion,
                webhooks=webhooks(later, nowhere),
                every_seconds=1,
                lease_seconds=self._ground.lease_seconds,
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
        replay.run(entries, self._ground.versions())
        for session, text in complaints:
            replay.checker.fail(text, session)
        for session, seconds in stuck.items():
            replay.checker.fail(f"stuck for {seconds:.0f} s", session)
        if replay.checker.broken:
            self._ground.keep()
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
            idle_allowed=self._stuck_seconds,
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
