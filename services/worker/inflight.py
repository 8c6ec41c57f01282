"""The batches that one call reads side by side, as many as keep the engine busy."""

import asyncio
from types import TracebackType
from typing import Self

import structlog

from libs.jobstate.lease import HeldLease, LeaseLost
from services.worker.call import Call, EngineBroke, EngineHangs
from services.worker.reader import BatchReader

log = structlog.get_logger()


class InFlight:
    """A group of readers. Its context ends when all of them have ended; then it raises the gravest of their faults."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._metrics = call.worker.metrics
        # By task, whether its batch is suspicious.
        self._reading: dict[asyncio.Task[None], bool] = {}
        self._faults: list[BaseException] = []
        #: Pages of all batches that were begun.
        self.claimed = 0
        #: Pages that were given an outcome here.
        self.read = 0
        #: Whether a batch failed or its lease was lost: no further one is to be begun.
        self.over = False

    def start(self, lease: HeldLease) -> None:
        """Read a claimed batch beside the others."""
        reader = BatchReader(self._call, lease)
        self.claimed += len(lease.lease.pages)
        task = asyncio.create_task(self._read(lease, reader))
        self._reading[task] = lease.lease.suspicious
        task.add_done_callback(self._reading.pop)
        task.add_done_callback(lambda _: reader.close())

    async def capacity(self) -> None:
        """Return when the engine has room for a further batch, or no batch is being read any more.

        A suspicious batch is read one page at a time with nothing beside it: what is claimed meanwhile would only
        wait, and come under suspicion itself when the process dies.
        """
        has_room = self._call.engine.has_room
        while self._reading and (any(self._reading.values()) or not has_room):
            has_room = await self._call.engine.changed()

    async def wait_for_one(self, seconds: float) -> bool:
        """Wait until a batch ends, but no longer than `seconds`; False where none is being read."""
        if not self._reading:
            return False
        await asyncio.wait(self._reading, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if isinstance(error, asyncio.CancelledError):
                raise error
            while self._reading:
                await asyncio.wait(self._reading)
        except asyncio.CancelledError:
            reading = list(self._reading)
            for task in reading:
                task.cancel()
            await asyncio.gather(*reading, return_exceptions=True)
            raise
        # A process whose engine hangs has to end, whatever else went wrong.
        hangs = [fault for fault in self._faults if isinstance(fault, EngineHangs)]
        for fault in hangs or (self._faults if error is None else ()):
            raise fault from error

    async def _read(self, lease: HeldLease, reader: BatchReader) -> None:
        try:
            pages = await reader.read()
            self.read += pages  # after the await: `+=` across it would lose what other readers have added
            self._metrics.batch("done")
        except asyncio.CancelledError:
            raise
        except LeaseLost:
            self.over = True
            self._metrics.batch("lost")
            log.warning("lease_lost", job_id=self._call.files.session_id, batch=lease.lease.name)
        except BaseException as fault:
            self.over = True
            self._faults.append(fault)
            if isinstance(fault, (EngineBroke, EngineHangs)):
                self._metrics.batch("broken")
