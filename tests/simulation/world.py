"""A small data centre under one seed: processes that come and go, a bucket, two queues, users."""

import asyncio
import base64
import random
import sys
import traceback
from collections.abc import Coroutine, MutableMapping
from typing import Any

import msgspec
import structlog

from libs import workerstate
from libs.jobstate import active
from libs.jobstate.cancellation import Cancellation
from libs.jobstate.record import TornRecord
from libs.jobstate.status import JobStatus
from libs.storage import layout
from libs.storage.errors import StorageError
from libs.taskqueue.queue import OCR_QUEUE, WEBHOOK_QUEUE, QueueUnavailable
from libs.taskqueue.queue_settings import QueueSettings
from libs.taskqueue.task import OcrTask, next_name
from services.web.config import WebConfig
from services.worker.call import CallResult, EngineBroke, EngineHangs
from tests.simulation import script
from tests.simulation.checker import Checker
from tests.simulation.facts import Facts
from tests.simulation.fault_rates import Weather, forecast
from tests.simulation.fleet import WEB, WORKER, Fleet
from tests.simulation.plant import design
from tests.simulation.process import Died, Process
from tests.simulation.queue import Broker
from tests.simulation.receiver import ADDRESS, Receiver
from tests.simulation.script import Document
from tests.simulation.store import Bucket, drive
from tests.simulation.story import Story
from tests.simulation.users import ADDRESSES, User, ask

DRAIN_SECONDS = 10.0
# After the weather clears: the longest pause of the sweep (30 minutes) twice, then the work itself.
PATIENCE_SECONDS = 2.5 * 3600


class World:
    """Runs until every job has ended and every deleted one is buried, or the promise is broken."""

    def __init__(self, seed: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._rng = random.Random(f"world {seed}")
        self.story = Story(self._loop.time)
        self._weather: Weather = forecast(self._rng)
        self._plant = design(self._rng)
        self._library: dict[str, Document] = {}
        self.checker = Checker(self._library, self.story, self._loop.time)
        self._bucket = Bucket(self._loop.time, paced=not self._plant.local, observer=self.checker.observe)
        self.checker.bucket = self._bucket
        engines = workerstate.WorkerState(engines=("auto", script.ENGINE, script.OTHER, script.WEAK))
        drive(self._bucket.objects.write(layout.WORKER_STATE, workerstate.encode(engines)))
        settings = QueueSettings(
            max_dispatches_per_second=10,
            max_concurrent_dispatches=self._plant.dispatches,
            max_burst_size=10,
            max_attempts=None,
            max_retry_seconds=None,
            min_backoff_seconds=1,
            max_backoff_seconds=60,
            max_doublings=5,
            dispatch_deadline_seconds=self._plant.deadline_seconds,
        )
        self._broker = Broker(settings, self._push, weather=self._weather, rng=self._rng, story=self.story)
        # From dice of its own: a seed's story is the same with and without.
        dice = random.Random(f"receiver {seed}")
        receiver = Receiver(self._weather, dice)
        config = WebConfig()
        if dice.random() < 0.5:
            secret = "whsec_" + base64.b64encode(bytes(32)).decode()
            config = WebConfig(webhook_url=ADDRESS, webhook_secrets=secret)
        self.checker.accepted = receiver.accepted
        # From dice of their own, too.
        self._passwords = random.Random(f"passwords {seed}")
        self._fleet = Fleet(
            self._plant,
            config,
            settings,
            library=self._library,
            bucket=self._bucket,
            broker=self._broker,
            receiver=receiver,
            weather=self._weather,
            rng=self._rng,
            checker=self.checker,
        )
        self._keepers: list[asyncio.Task[Any]] = []

    async def run(self) -> None:
        """Live through it."""
        structlog.configure(processors=[self._watch_guests, self.story.processor])
        self.story.tell(f"{self._plant}")
        self.story.tell(f"{self._weather}")
        for kind, count in ((WEB, self._plant.webs), (WORKER, self._plant.workers)):
            for number in range(1, count + 1):
                self._keep(self._keep_alive(kind, number))
        for kind, seconds in (
            ("death", self._weather.death_seconds),
            ("drain", self._weather.drain_seconds),
            ("freeze", self._weather.freeze_seconds),
        ):
            if seconds:
                self._keep(self._strike(kind, seconds))
        if self._weather.tear_seconds:
            self._keep(self._tear())
        users = [self._keep(self._user(number).live()) for number in range(self._plant.users)]
        deadline = self._weather.until + PATIENCE_SECONDS
        while not self.checker.broken:
            await asyncio.sleep(2)
            waiting = self.checker.open_work()
            if all(user.done() for user in users) and not waiting:
                break
            if self._loop.time() > deadline:
                self.checker.fail(f"stuck: {waiting[0] if waiting else 'a user'}", _session_in(waiting))
        for user in users:
            if user.done() and not user.cancelled() and (error := user.exception()):
                raise error
        if not self.checker.broken:
            self.checker.finish()

    def _watch_guests(self, logger: object, name: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """A bug that serving guests meets is logged, and fails no call."""
        if fields["event"] in ("guest_failed", "look_failed"):
            error = sys.exception()
            assert error is not None
            where = traceback.extract_tb(error.__traceback__)[-1]
            who = "a guest" if fields["event"] == "guest_failed" else "looking for guests"
            self.checker.fail(f"{who} raised {error!r} at {where.name}:{where.lineno}", fields.get("job_id", ""))
        return fields

    def _keep(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = self._loop.create_task(work)
        self._keepers.append(task)
        return task

    def _user(self, number: int) -> User:
        document = script.write(self._rng, f"doc{number}")
        if self._passwords.random() < 0.25:
            document = msgspec.structs.replace(document, password="open sesame")
        self.story.tell(f"user {number} has {len(document.pages)} pages{' unreadable' if document.unreadable else ''}")
        return User(
            ADDRESSES[number % len(ADDRESSES)],
            document,
            library=self._library,
            until=self._weather.until,
            rng=self._rng,
            checker=self.checker,
            story=self.story,
            web=self._fleet.some_web,
        )

    async def _keep_alive(self, kind: str, number: int) -> None:
        """A supervisor: starts the process again whenever it has ended."""
        generation = 0
        while True:
            generation += 1
            process = Process(f"{kind}{number}.{generation}", kind, self._rng.uniform(-300, 300))
            self._fleet.boot(process)
            await asyncio.sleep(self._rng.uniform(0.5, 5))
            process.loaded = True
            await process.ended.wait()
            self.checker.died(process, process.holder)
            self._fleet.remove(process)
            self.story.tell(f"{process.name} is dead")
            if kind == WEB and self._plant.local:
                self._broker.forget()
            await asyncio.sleep(self._rng.uniform(0.5, 10))

    async def _strike(self, kind: str, seconds: float) -> None:
        """Kill processes, tell them to stop, or let them stand still, while the weather is bad."""
        while True:
            await asyncio.sleep(self._rng.expovariate(1 / seconds))
            if self._loop.time() > self._weather.until:
                return
            if not (living := self._fleet.living):
                continue
            process = self._rng.choice(living)
            if kind == "death":
                self.story.tell(f"kill {process.name}")
                process.kill()
            elif kind == "freeze":
                process.was_frozen = True
                self.checker.interrupted(process.holder)
                process.frozen_until = self._loop.time() + self._rng.uniform(1, 3) * self._plant.lease_seconds
                self.story.tell(f"freeze {process.name} until {process.frozen_until:.0f}")
            elif not process.draining:
                self._keep(self._drain(process))

    async def _tear(self) -> None:
        """Damage records of jobs at work, and of jobs that were cancelled."""
        while True:
            await asyncio.sleep(self._rng.expovariate(1 / self._weather.tear_seconds))
            if self._loop.time() > self._weather.until:
                return
            open_jobs = [
                facts
                for facts in self.checker.sessions.values()
                if facts.accepted
                and not facts.buried
                and facts.job is not None
                and (not facts.job.ended or self._is_noted_as_cancelled(facts))
            ]
            if open_jobs:
                facts = self._rng.choice(open_jobs)
                job = facts.job
                assert job is not None
                self._bucket.tear(facts.prefix + layout.RECORD, whole=self._rng.random() < 0.5)
                self.checker.tore(facts)
                if job.ended:
                    self._keep(self._miss(facts, job.user_email))

    def _is_noted_as_cancelled(self, facts: Facts) -> bool:
        stored = self._bucket.peek(facts.prefix + layout.CANCELLED)
        if stored is None or facts.job is None or facts.job.status is not JobStatus.CANCELLED:
            return False
        return msgspec.json.decode(stored.data, type=Cancellation).run == facts.job.run

    async def _miss(self, facts: Facts, email: str) -> None:
        """Its owner asks for a job that has ended until there is a record again: nobody else would."""
        while facts.job is None and not facts.buried:
            if (web := self._fleet.some_web()) is not None:
                process, app = web
                asking = ask(app, "GET", f"/api/jobs/{facts.session_id}/status", email)
                await asyncio.wait({process.start(asking, facts.session_id)})
            await asyncio.sleep(5)

    async def _drain(self, process: Process) -> None:
        self.story.tell(f"stop {process.name}")
        process.draining = True
        self._fleet.drain(process)
        self.checker.interrupted(process.holder)
        await asyncio.sleep(DRAIN_SECONDS)
        if process.alive:
            process.kill()

    def _push(self, queue: str, task: OcrTask, name: str) -> "asyncio.Task[bool] | None":
        """Deliver a task to a process that takes work, as a load balancer would."""
        work: Coroutine[Any, Any, object]
        if queue == OCR_QUEUE:
            if (worker := self._fleet.some_worker()) is None:
                return None
            process, batches = worker
            work = batches.process(task, name)
        else:
            if (web := self._fleet.some_web()) is None:
                return None
            process, app = web
            parts = app.state.web
            work = parts.webhooks.deliver(task) if queue == WEBHOOK_QUEUE else parts.extractor.process(task, name)
        self.story.tell(f"{queue} {name[:6]} to {process.name}", session=task.session_id, who="queue")
        return process.start(self._answered(process, work, task, name), task.session_id)

    async def _answered(self, process: Process, work: Coroutine[Any, Any, object], task: OcrTask, name: str) -> bool:
        """Whether the call was answered with a success; the services' own mapping of errors to answers."""
        try:
            answer = await work
        except (StorageError, QueueUnavailable, EngineBroke, TornRecord) as error:
            self.story.tell(f"answers 503 {type(error).__name__}")
            return False
        except EngineHangs:
            self.story.tell("exits: the engine hangs")
            process.kill()
            raise Died from None
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            self.checker.fail(f"{process.name} raised {error!r} at {where.name}:{where.lineno}", task.session_id)
            return False
        self.story.tell(f"answers {getattr(answer, 'status', answer)}")
        if isinstance(answer, CallResult):
            self._check_successor(task, name)
        return True

    def _check_successor(self, task: OcrTask, name: str) -> None:
        """A chain lives until its job has ended: its successor is in the queue before it answers."""
        facts = self.checker.sessions[task.session_id]
        if facts.job is None or facts.job.ended or facts.buried or facts.job.run != task.run:
            return
        stored = self._bucket.peek(layout.active_path(facts.user_hash, facts.session_id))
        if stored is None or active.decode(stored.data).wakes > task.wake:
            return  # the sweep has enqueued others in its place
        if next_name(name) not in self._broker.ever:
            self.checker.fail("a chain ended before its job", task.session_id)


def _session_in(waiting: list[str]) -> str:
    words = waiting[0].replace("/", " ").split() if waiting else []
    return next((word for word in words if len(word) == 32), "")
