"""Fixtures of the queues' tests: the clock that they advance, the target of the pushes, the cloud's faults."""

from collections.abc import AsyncIterator

import pytest

from tests.contract.queues import Target, TurnedClock
from tests.emulators.cloudtasks.faults import Faults


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
async def target(clock: TurnedClock) -> AsyncIterator[Target]:
    async with Target(clock) as target:
        yield target


@pytest.fixture
def faults() -> Faults:
    return Faults()
