"""An emulated server, and transcribers that are closed at the end of a test."""

from collections.abc import AsyncIterator, Iterator

import pytest

from services.worker.engines.chat import client, retry
from services.worker.engines.openai import OpenAiTranscriber
from tests.emulators.openai.server import Emulator
from tests.integration.worker.engines.openai.transcribers import KEY


@pytest.fixture
def server() -> Iterator[Emulator]:
    with Emulator(key=KEY) as emulator:
        yield emulator


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BACKOFF_FROM", 0.001)
    monkeypatch.setattr(retry, "BACKOFF_TO", 0.01)
    monkeypatch.setattr(client, "COUNT_SECONDS", 3.0)


@pytest.fixture
async def made() -> AsyncIterator[list[OpenAiTranscriber]]:
    transcribers: list[OpenAiTranscriber] = []
    yield transcribers
    for transcriber in transcribers:
        await transcriber.close()
