"""The start of the engine that asks a server: the key, the address, the model, and a server that is not up yet."""

import asyncio
import traceback

import pytest

from services.worker.engines.engine import EngineUnavailable
from services.worker.engines.openai import OpenAiTranscriber
from services.worker.engines.settings import EngineSettings, OpenAiSettings
from tests.emulators.openai.server import Emulator
from tests.integration.worker.engines.openai.transcribers import KEY, PAGE, SAMPLING, loaded
from tests.running import free_port


async def test_wrong_key_is_reported_at_the_start(server: Emulator, made: list[OpenAiTranscriber]) -> None:
    wrong = KEY + "9876"
    with pytest.raises(EngineUnavailable, match="OPENAI_API_KEY") as refusal:
        await loaded(made, server.url, key=wrong)
    assert KEY not in "".join(traceback.format_exception(refusal.value))


@pytest.mark.parametrize("key", ["sk-9876\nX: y", "sk-9876 ", "sk-9876ü"], ids=["line", "space", "letter"])
async def test_malformed_key_is_not_sent(server: Emulator, made: list[OpenAiTranscriber], key: str) -> None:
    with pytest.raises(EngineUnavailable, match="OPENAI_API_KEY") as refusal:
        await loaded(made, server.url, key=key)
    assert "9876" not in "".join(traceback.format_exception(refusal.value))


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8000", "ftp://x/v1", "http://u:sk-9876@x/v1", "http://x/v1?key=sk-9876", "http:///v1"]
)
async def test_malformed_address_is_reported_at_the_start(made: list[OpenAiTranscriber], url: str) -> None:
    with pytest.raises(EngineUnavailable, match="OPENAI_BASE_URL") as refusal:
        await loaded(made, url)
    assert "9876" not in "".join(traceback.format_exception(refusal.value))


@pytest.mark.parametrize("status", [404, 405, 500])
async def test_server_that_does_not_list_its_models_is_asked_for_the_one_that_was_set(
    server: Emulator, made: list[OpenAiTranscriber], status: int
) -> None:
    server.models = status
    with pytest.raises(EngineUnavailable, match="OPENAI_MODEL"):
        await loaded(made, server.url)
    transcriber = await loaded(made, server.url, model="a model")
    await transcriber.transcribe(PAGE, SAMPLING)
    assert server.asked[0].fields["model"] == "a model"


@pytest.mark.parametrize("status", [400, 408, 502, 503])
async def test_server_that_is_not_up_is_reported_at_the_start(
    server: Emulator, made: list[OpenAiTranscriber], status: int
) -> None:
    server.models = status
    with pytest.raises(EngineUnavailable, match="The server "):
        await loaded(made, server.url, seconds=0.1)


async def test_one_of_several_models_has_to_be_named(server: Emulator, made: list[OpenAiTranscriber]) -> None:
    server.models = ["one", "another"]
    with pytest.raises(EngineUnavailable, match="2 models"):
        await loaded(made, server.url)
    assert (await loaded(made, server.url, model="another")).info().revision == "another"


async def test_server_that_is_still_starting_is_waited_for(made: list[OpenAiTranscriber]) -> None:
    port = free_port()
    waiting = asyncio.create_task(loaded(made, f"http://127.0.0.1:{port}/v1"))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    with Emulator(key=KEY, port=port) as server:
        transcriber = await waiting
        await transcriber.transcribe(PAGE, SAMPLING)
        assert len(server.asked) == 1


async def test_server_that_never_starts_is_reported() -> None:
    transcriber = OpenAiTranscriber(
        EngineSettings(
            openai=OpenAiSettings(
                openai_base_url=f"http://127.0.0.1:{free_port()}/v1", openai_timeout_seconds=0.1, openai_model="x"
            )
        )
    )
    with pytest.raises(EngineUnavailable, match="OPENAI_BASE_URL"):
        await transcriber.load()
