"""The engine that asks a server: what it sends, which answers count, and what it does about faults of the server."""

import asyncio
import contextlib
import traceback
from pathlib import Path

import numpy as np
import pytest
import structlog

from services.worker.engines.chat import retry
from services.worker.engines.chat.retry import ATTEMPTS, ServerFault
from services.worker.engines.engine import EngineUnavailable
from services.worker.engines.openai import OpenAiTranscriber
from services.worker.engines.profiles.plain import PROMPT
from services.worker.engines.transcriber import Ending, Sampling, Transcript, Untranscribable
from tests.documents import pdf
from tests.emulators.openai import manners
from tests.emulators.openai.manners import Asked, Manner, Wire, refusing
from tests.emulators.openai.server import MODEL, Emulator
from tests.integration.worker.engines.openai.transcribers import KEY, PAGE, SAMPLING, SECONDS, TEXT, loaded
from tests.running import running


async def loaded_for_a_moment(made: list[OpenAiTranscriber], url: str) -> OpenAiTranscriber:
    """One that waits half a second for an answer. Its start may take longer than that on a busy machine."""
    while True:
        with contextlib.suppress(EngineUnavailable):
            return await loaded(made, url, seconds=0.5)


GOOD = [manners.stream, manners.undone, manners.whole, manners.nameless, manners.lingering]


@pytest.mark.parametrize("manner", GOOD, ids=lambda manner: manner.__name__)
async def test_page_is_read_in_every_form_of_the_answer(
    server: Emulator, made: list[OpenAiTranscriber], manner: Manner
) -> None:
    server.manner = manner
    transcript = await (await loaded(made, server.url)).transcribe(PAGE, SAMPLING)
    assert (transcript.text, transcript.ending) == (TEXT, Ending.STOP)
    assert transcript.tokens > 0


async def test_request_is_as_the_protocol_describes(server: Emulator, made: list[OpenAiTranscriber]) -> None:
    transcriber = await loaded(made, server.url)
    transcript = await transcriber.transcribe(PAGE, Sampling(max_tokens=77, temperature=0.5, seed=3))
    (asked,) = server.asked
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.format == "PNG"
    assert PROMPT in str(asked.fields.pop("messages"))
    assert asked.fields == {
        "model": MODEL,
        "max_tokens": 77,
        "temperature": 0.5,
        "seed": 3,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert transcript.tokens == 17, "as the server counted them"
    assert (transcriber.info().name, transcriber.info().revision) == ("openai", MODEL)


@pytest.mark.parametrize(
    ("sides", "scale", "seen"),
    [
        ((60, 40), 1.0, (60, 40)),
        ((900, 600), 1.0, (300, 200)),
        ((900, 600), 0.9, (270, 180)),
        ((60, 40), 0.9, (54, 36)),
    ],
    ids=["small", "large", "scaled", "both"],
)
async def test_page_is_sent_no_larger_than_the_limit(
    server: Emulator, made: list[OpenAiTranscriber], sides: tuple[int, int], scale: float, seen: tuple[int, int]
) -> None:
    transcriber = await loaded(made, server.url, max_side=300)
    page = np.full((*sides, 3), 255, np.uint8)
    await transcriber.transcribe(page, Sampling(max_tokens=400, scale=scale))
    assert (server.asked[0].height, server.asked[0].width) == seen


async def test_photograph_is_sent_as_a_jpeg(server: Emulator, made: list[OpenAiTranscriber]) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (1400, 1400, 3), np.uint8)
    await (await loaded(made, server.url)).transcribe(noise, SAMPLING)
    assert (server.asked[0].format, server.asked[0].width) == ("JPEG", 1400)


async def test_split_characters_are_joined_or_replaced(server: Emulator, made: list[OpenAiTranscriber]) -> None:
    server.manner = manners.halves
    transcript = await (await loaded(made, server.url)).transcribe(PAGE, SAMPLING)
    assert transcript.text == f"{TEXT}😀�"


@pytest.mark.parametrize(
    ("manner", "ending"),
    [(manners.cut_off, Ending.LENGTH), (manners.looping, Ending.LOOP), (manners.endless, Ending.LENGTH)],
    ids=["cut off", "looping", "endless"],
)
async def test_text_without_an_end_is_marked_as_such(
    server: Emulator, made: list[OpenAiTranscriber], manner: Manner, ending: Ending
) -> None:
    server.manner = manner
    transcript = await (await loaded(made, server.url)).transcribe(PAGE, Sampling(max_tokens=3000))
    assert transcript.ending is ending
    if ending is Ending.LOOP:
        assert transcript.tokens < 1000, "it was stopped early"
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "manner", [refusing(400), refusing(413), refusing(422), manners.filtered], ids=["400", "413", "422", "filter"]
)
async def test_page_that_is_refused_is_asked_for_once(
    server: Emulator, made: list[OpenAiTranscriber], manner: Manner
) -> None:
    server.manner = manner
    transcriber = await loaded(made, server.url)
    with pytest.raises(Untranscribable) as refused:
        await transcriber.transcribe(PAGE, SAMPLING)
    assert len(server.asked) == 1
    assert KEY not in "".join(traceback.format_exception(refused.value))


WRONG = [
    manners.unfinished,
    manners.cut,
    manners.closed,
    manners.mistaken,
    manners.long_line,
    manners.flood,
    manners.nonsense,
    manners.deep,
    manners.other_types,
    manners.page_of_html,
    manners.packed,
    refusing(500, "said"),
    refusing(408),
]


@pytest.mark.parametrize("manner", WRONG, ids=lambda manner: manner.__name__)
async def test_server_that_answers_wrongly_is_asked_four_times_and_no_more(
    server: Emulator, made: list[OpenAiTranscriber], manner: Manner
) -> None:
    server.manner = manner
    transcriber = await loaded(made, server.url)
    with structlog.testing.capture_logs() as logs, pytest.raises(ServerFault) as fault:
        await transcriber.transcribe(PAGE, SAMPLING)
    assert len(server.asked) == ATTEMPTS
    assert KEY not in "".join(traceback.format_exception(fault.value)) + str(logs)
    server.manner = manners.stream
    assert (await transcriber.transcribe(PAGE, SAMPLING)).text == TEXT, "it works again afterwards"


@pytest.mark.parametrize(
    "manner", [manners.silent, manners.dripping, manners.slow, manners.stalled], ids=lambda manner: manner.__name__
)
async def test_server_that_takes_too_long_is_given_up(
    server: Emulator, made: list[OpenAiTranscriber], manner: Manner
) -> None:
    transcriber = await loaded_for_a_moment(made, server.url)
    server.manner = manner
    with pytest.raises(ServerFault, match="in time"):
        await transcriber.transcribe(PAGE, SAMPLING)


async def test_faults_that_pass_are_not_noticed(server: Emulator, made: list[OpenAiTranscriber]) -> None:
    server.manners = [manners.cut, refusing(429, retry_after="0"), refusing(502), refusing(503), manners.nonsense]
    transcript = await (await loaded(made, server.url)).transcribe(PAGE, SAMPLING)
    assert transcript.text == TEXT
    assert len(server.asked) == 6


@pytest.mark.parametrize(
    ("manner", "advice"),
    [
        (refusing(429, "slow down"), "OPENAI_CONCURRENCY"),
        (refusing(429, retry_after="3600"), "OPENAI_CONCURRENCY"),
        (refusing(429, retry_after="Fri, 31 Dec 2199 23:59:59 GMT"), "OPENAI_CONCURRENCY"),
        (refusing(401), "OPENAI_API_KEY"),
        (refusing(403), "OPENAI_API_KEY"),
        (refusing(404), "OPENAI_MODEL"),
        (refusing(307), "OPENAI_BASE_URL"),
        (refusing(402), "log"),
    ],
    ids=["busy", "seconds", "date", "401", "403", "404", "307", "402"],
)
async def test_server_that_refuses_all_pages_is_no_fault_of_the_page(
    server: Emulator,
    made: list[OpenAiTranscriber],
    manner: Manner,
    advice: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    transcriber = await loaded(made, server.url)
    server.manner = manner
    monkeypatch.setattr(retry, "BACKOFF_FROM", 2 * SECONDS)  # no time is left for a second request
    with pytest.raises(EngineUnavailable, match=advice) as refusal:
        await transcriber.transcribe(PAGE, SAMPLING)
    assert KEY not in "".join(traceback.format_exception(refusal.value))


async def test_server_that_has_gone_is_no_fault_of_the_page(
    made: list[OpenAiTranscriber], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Emulator(key=KEY) as server:
        transcriber = await loaded(made, server.url)
    monkeypatch.setattr(retry, "BACKOFF_FROM", 2 * SECONDS)
    with pytest.raises(EngineUnavailable, match="cannot be reached"):
        await transcriber.transcribe(PAGE, SAMPLING)


@pytest.mark.parametrize("field", ["stream_options", "seed", "temperature", "max_tokens"])
async def test_field_that_the_server_does_not_know_is_left_out_from_then_on(
    server: Emulator, made: list[OpenAiTranscriber], field: str
) -> None:
    message = "Use max_completion_tokens instead." if field == "max_tokens" else f"Unknown field {field}."
    server.manners = [refusing(400, message)]
    transcriber = await loaded(made, server.url)
    for _ in range(2):
        assert (await transcriber.transcribe(PAGE, SAMPLING)).text == TEXT
    assert [field in asked.fields for asked in server.asked] == [True, False, False]
    assert ("max_completion_tokens" in server.asked[-1].fields) is (field == "max_tokens")


async def test_pages_that_are_refused_together_for_a_field_are_all_read_without_it(
    server: Emulator, made: list[OpenAiTranscriber]
) -> None:
    async def together(asked: Asked, wire: Wire) -> None:
        while len(server.asked) < 4:  # noqa: ASYNC110 - it is counted elsewhere
            await asyncio.sleep(0.01)
        await refusing(400, "Unknown field seed.")(asked, wire)

    server.manners = [together] * 4
    transcriber = await loaded(made, server.url)
    transcripts = await asyncio.gather(*(transcriber.transcribe(PAGE, SAMPLING) for _ in range(4)))
    assert [transcript.text for transcript in transcripts] == [TEXT] * 4
    assert ["seed" in asked.fields for asked in server.asked] == [True] * 4 + [False] * 4


async def test_no_more_pages_are_asked_for_at_once_than_allowed(
    server: Emulator, made: list[OpenAiTranscriber]
) -> None:
    transcriber = await loaded(made, server.url, concurrency=3)
    await asyncio.gather(*(transcriber.transcribe(PAGE, SAMPLING) for _ in range(12)))
    assert server.most_at_once <= 3
    assert len(server.asked) == 12


async def test_busy_server_gets_fewer_pages_at_once_and_all_of_them_are_read(
    server: Emulator, made: list[OpenAiTranscriber]
) -> None:
    server.limit, server.refusal = 2, refusing(429, retry_after="0")
    transcriber = await loaded(made, server.url, concurrency=16)
    transcripts = await asyncio.gather(*(transcriber.transcribe(PAGE, SAMPLING) for _ in range(40)))
    assert [transcript.text for transcript in transcripts] == [TEXT] * 40
    assert len(server.asked) < 2 * 40, "most requests succeed"


async def test_cancelled_page_frees_its_place(server: Emulator, made: list[OpenAiTranscriber]) -> None:
    transcriber = await loaded(made, server.url, concurrency=1)
    server.manners = [manners.silent]
    reading = asyncio.create_task(transcriber.transcribe(PAGE, SAMPLING))
    while not server.asked:  # noqa: ASYNC110 - it is another thread's
        await asyncio.sleep(0.01)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert isinstance(await transcriber.transcribe(PAGE, SAMPLING), Transcript)


def test_job_is_read_by_the_server_with_pages_of_several_batches_at_once(server: Emulator, tmp_path: Path) -> None:
    pages = 10

    async def together(asked: Asked, wire: Wire) -> None:
        while server.at_once < 5 and len(server.asked) < pages:  # noqa: ASYNC110 - both are counted elsewhere
            await asyncio.sleep(0.01)
        await manners.stream(asked, wire)

    server.manner = together
    document = pdf(tmp_path / "letter.pdf", pages)
    with running(
        tmp_path,
        OCR_ENGINE="openai",
        OPENAI_BASE_URL=server.url,
        OPENAI_API_KEY=KEY,
        OPENAI_CONCURRENCY="5",
        OCR_BATCH_SIZE="2",
    ) as services:
        job_id = services.upload(document, ocr="force")
        job = services.ended(job_id)
        assert job["status"] == "completed"
        combined = services.get(f"/api/jobs/{job_id}/result").text
        outcome = services.get(f"/api/jobs/{job_id}/pages/1", accept="application/json")
    assert combined.count("The picture is ") == pages
    assert combined.count("☑ Größe 😀") == pages
    assert len(server.asked) == pages
    assert server.most_at_once == 5
    assert outcome.status_code == 200, outcome.text
    logs = "".join(log.read_text() for log in tmp_path.glob("*.log"))
    assert "engine_ready" in logs
    assert KEY not in logs
