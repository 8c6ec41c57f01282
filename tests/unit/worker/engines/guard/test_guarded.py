"""The guarded engine: which answers count, what is tried again, when the fallback reads, and how pages flow."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest

from libs.page.trust import Doubt
from services.worker.engines.engine import Finish, PageFailure, PageImage, PageText
from services.worker.engines.guard import fallback_queue
from services.worker.engines.guard.guarded import GuardedEngine
from services.worker.engines.occupancy import slots_of
from services.worker.engines.profiles import chandra, plain
from services.worker.engines.settings import EngineSettings
from services.worker.engines.transcriber import Untranscribable
from tests.transcripts import (
    Order,
    ScriptedFallback,
    ScriptedTranscriber,
    Source,
    cut_off,
    everything,
    loop,
    page_image,
    settled,
    stop,
)
from tests.waiting import until

SETTINGS = EngineSettings()


async def guarded(
    model: ScriptedTranscriber, fallback: ScriptedFallback | None = None, settings: EngineSettings = SETTINGS
) -> GuardedEngine:
    engine = GuardedEngine(model, settings, fallback)
    await engine.load()
    return engine


async def read(
    orders: dict[int, Sequence[Order]],
    fallback: ScriptedFallback | None = None,
    *,
    pages: Sequence[PageImage] = (page_image(1),),
    settings: EngineSettings = SETTINGS,
) -> dict[int, PageText | PageFailure]:
    engine = await guarded(ScriptedTranscriber(orders), fallback, settings)
    return {result.page_no: result async for result in engine.recognise(aiter(Source(pages)))}


def endings(result: PageText | PageFailure) -> list[str]:
    return [attempt.ending for attempt in result.tries]


async def test_a_page_read_to_its_end_counts_at_once() -> None:
    result = (await read({1: [stop("```markdown\n# Title\n```<|im_end|>", tokens=12)]}))[1]
    assert isinstance(result, PageText)
    assert (result.markdown, result.finish, result.tokens, result.fallback) == ("# Title", Finish.STOP, 12, None)
    (attempt,) = result.tries
    assert (attempt.engine, attempt.ending, attempt.temperature, attempt.scale) == ("scripted", "stop", 0, 1)


async def test_a_blank_page_is_recognised_by_its_pixels_and_never_shown_to_the_model() -> None:
    engine = await guarded(model := ScriptedTranscriber({1: [stop("An invention.")]}))
    (result,) = [r async for r in engine.recognise(aiter(Source([page_image(1, blank=True)])))]
    assert isinstance(result, PageText)
    assert (result.markdown, result.finish, result.tries) == ("", Finish.BLANK, ())
    assert not model.asked


async def test_a_page_cut_off_is_read_again_with_all_the_tokens_allowed() -> None:
    result = (
        await read({1: [cut_off, stop("All of it.", tokens=5000)]}, settings=EngineSettings(model_max_tokens=8192))
    )[1]
    assert isinstance(result, PageText)
    assert result.markdown == "All of it."
    assert endings(result) == ["length", "stop"]
    assert result.tokens == 4096 + 5000


@pytest.mark.parametrize(
    "bad", [loop(), cut_off, stop(""), stop("on and " * 300)], ids=["stopped", "cut off", "empty", "loops"]
)
async def test_text_that_is_not_sound_is_never_returned(bad: Order) -> None:
    first, without = (await read({1: [bad]}, ScriptedFallback()))[1], (await read({1: [bad]}))[1]
    assert isinstance(first, PageText)
    assert first.markdown == "Fallback 1"
    assert first.engine is not None
    assert first.engine.name == "spare"
    assert first.fallback is not None
    assert "scripted could not read the page" in first.fallback
    assert endings(first)[-1] == "stop"
    assert first.tries[-1].engine == "spare"
    assert isinstance(without, PageFailure)
    assert endings(without) == endings(first)[:-1]
    assert "another engine" in without.reason


async def test_one_sound_answer_among_bad_ones_counts() -> None:
    result = (await read({1: [loop(), stop(""), stop("At last.")]}, ScriptedFallback()))[1]
    assert isinstance(result, PageText)
    assert (result.markdown, result.fallback) == ("At last.", None)
    assert endings(result) == ["loop", "empty", "stop"]


async def test_a_page_that_neither_engine_reads_fails_with_both_reasons() -> None:
    result = (await read({1: [loop()]}, ScriptedFallback(fails=True)))[1]
    assert isinstance(result, PageFailure)
    assert "repeated itself (4 times)" in result.reason
    assert "spare failed" in result.reason
    assert result.fallback is not None
    assert endings(result) == ["loop"] * 4 + ["refused"]
    assert result.seconds >= 1


async def test_a_page_that_the_model_refuses_goes_to_the_fallback_at_once() -> None:
    refusal = Untranscribable("The page is too large for the model.")
    result = (await read({1: [refusal]}, ScriptedFallback()))[1]
    assert isinstance(result, PageText)
    assert result.fallback == "The page is too large for the model."
    assert endings(result) == ["refused", "stop"]
    without = (await read({1: [refusal]}))[1]
    assert isinstance(without, PageFailure)
    assert without.reason.startswith("The page is too large for the model.")


async def test_a_damaged_image_fails_its_page_and_no_other() -> None:
    results = await read({}, pages=[PageImage(page_no=1, data=b"no image"), page_image(2)])
    assert isinstance(results[1], PageFailure)
    assert "damaged" in results[1].reason
    assert isinstance(results[2], PageText)


async def test_results_stream_as_they_end_in_any_order() -> None:
    release = asyncio.Event()
    engine = await guarded(ScriptedTranscriber({1: [release]}))
    results = engine.recognise(aiter(Source([page_image(n) for n in (1, 2, 3)])))
    assert {(await anext(results)).page_no for _ in range(2)} == {2, 3}
    release.set()
    assert [r.page_no async for r in results] == [1]


async def test_all_calls_share_the_slots() -> None:
    release = asyncio.Event()
    model = ScriptedTranscriber({n: [release] for n in range(1, 13)}, slots=3)
    engine = await guarded(model)
    assert slots_of(engine) == 3
    sources = [Source([page_image(n) for n in range(first, first + 4)]) for first in (1, 5, 9)]
    calls = [asyncio.create_task(everything(engine, source)) for source in sources]
    await until(lambda: len(model.at_work) == 3 and sum(source.pulled for source in sources) == 4)
    await settled()
    assert len(model.at_work) == 3
    # Beside those in the slots, one page waits for the first slot that falls free.
    assert sum(source.pulled for source in sources) == 4
    release.set()
    pages = [result.page_no for call in calls for result in await call]
    assert sorted(pages) == list(range(1, 13))
    assert model.most_at_work == 3


@pytest.mark.parametrize("way", ["close", "cancel"])
async def test_a_call_that_is_left_frees_its_slots(way: str) -> None:
    model = ScriptedTranscriber({n: [asyncio.Event()] for n in (1, 2, 3)})
    engine = await guarded(model)
    first = asyncio.Event()

    async def source() -> AsyncIterator[PageImage]:
        yield page_image(4)
        await first.wait()
        for page_no in (1, 2, 3):
            yield page_image(page_no)

    left = engine.recognise(source())
    assert (await anext(left)).page_no == 4
    first.set()
    await until(lambda: len(model.at_work) == 2)
    if way == "close":
        await left.aclose()  # type: ignore[attr-defined]
    else:
        waiting = asyncio.create_task(following(left))
        await settled()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert not model.at_work
    assert others() == []
    assert len(await everything(engine, Source([page_image(n) for n in range(5, 15)]))) == 10


async def test_a_fault_of_the_model_as_a_whole_ends_the_call_and_leaves_nothing_running() -> None:
    model = ScriptedTranscriber({1: [asyncio.Event()], 2: [0.01, RuntimeError("no more memory")]})
    engine = await guarded(model)
    other = asyncio.create_task(everything(engine, Source([page_image(n) for n in (7, 8)])))
    with pytest.raises(RuntimeError, match="no more memory"):
        await everything(engine, Source([page_image(n) for n in (1, 2, 3)]))
    assert len(await other) == 2
    assert not model.at_work
    assert others() == []
    assert len(await everything(engine, Source([page_image(n) for n in range(4, 14)]))) == 10


async def test_a_fault_of_the_pages_reaches_the_caller_as_it_is() -> None:
    engine = await guarded(model := ScriptedTranscriber({1: [asyncio.Event()]}))
    with pytest.raises(OSError, match="no storage"):
        await everything(engine, Source([page_image(1)], then=OSError("no storage")))
    assert not model.at_work
    assert others() == []
    assert len(await everything(engine, Source([page_image(n) for n in range(4, 14)]))) == 10


async def test_the_model_reads_on_while_pages_wait_for_the_fallback() -> None:
    waits = asyncio.Event()
    fallback = ScriptedFallback(waits=waits)
    engine = await guarded(ScriptedTranscriber({1: [loop()], 2: [loop()]}), fallback)
    source = Source([page_image(n) for n in range(1, 9)])
    results = engine.recognise(aiter(source))
    assert {(await anext(results)).page_no for _ in range(6)} == set(range(3, 9))
    assert sorted(fallback.asked) == [1, 2]
    waits.set()
    assert {r.page_no async for r in results} == {1, 2}


async def test_pages_do_not_pile_up_before_the_fallback() -> None:
    fallback = ScriptedFallback(waits=asyncio.Event())
    engine = await guarded(ScriptedTranscriber({n: [loop()] for n in range(1, 30)}), fallback)
    source = Source([page_image(n) for n in range(1, 30)])
    results = engine.recognise(aiter(source))
    waiting = asyncio.create_task(following(results))
    await until(lambda: fallback.at_work == 2 and source.pulled == 5)
    await settled()
    assert source.pulled == 5
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert fallback.at_work == 0
    assert others() == []


async def test_every_attempt_reports_the_page_alive() -> None:
    beats: list[int] = []
    model = ScriptedTranscriber({1: [loop(), stop(""), stop("At last.")]})
    image = PageImage(page_no=1, data=page_image(1).data, alive=lambda: beats.append(len(model.asked)))
    assert len(await everything(await guarded(model), Source([image]))) == 1
    assert beats == [1, 2, 3]


async def test_the_page_is_reported_alive_while_the_fallback_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fallback_queue, "HEARTBEAT_SECONDS", 0.01)
    waits = asyncio.Event()
    count = 0

    def beat() -> None:
        nonlocal count
        count += 1
        if count == 6:
            waits.set()  # four came from the attempts, two from the wait

    engine = await guarded(ScriptedTranscriber({1: [loop()]}), ScriptedFallback(waits=waits))
    image = PageImage(page_no=1, data=page_image(1).data, alive=beat)
    (result,) = [r async for r in engine.recognise(aiter(Source([image])))]
    assert isinstance(result, PageText)
    assert count == 6


async def following(results: AsyncIterator[PageText | PageFailure]) -> PageText | PageFailure:
    return await anext(results)


def others() -> list[asyncio.Task[object]]:
    """Tasks that are still running besides the test's own."""
    return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


async def test_an_answer_is_read_by_the_models_profile_and_says_what_is_wrong_with_it() -> None:
    text = (
        '<div data-bbox="100 0 900 100" data-label="Section-Header"><h2>Results</h2></div>'
        '<div data-bbox="100 100 900 200" data-label="Text"><p>Sales rose.</p></div>Left over.'
    )
    model = ScriptedTranscriber({1: [stop(text)]}, profile=chandra.PROFILE)
    (result,) = await everything(await guarded(model), Source([page_image(1)]))
    assert isinstance(result, PageText)
    assert result.markdown == "## Results\n\nSales rose.\n\nLeft over."
    assert [block.box for block in result.blocks] == [(20.0, 0.0, 180.0, 26.0), (20.0, 26.0, 180.0, 52.0), None]
    assert result.trust is not None
    assert result.trust.doubts == (Doubt.MALFORMED_ANSWER,)


async def test_the_first_try_is_as_warm_as_the_profile_says_and_no_other_is_colder() -> None:
    profile = msgspec.structs.replace(plain.PROFILE, temperature=0.3)
    model = ScriptedTranscriber({1: [loop()]}, profile=profile)
    await everything(await guarded(model), Source([page_image(1)]))
    assert [sampling.temperature for _, sampling in model.asked] == [0.3, 0.3, 0.3, 0.5]
