"""Trust in a text: what it is compared with, and what that may cost."""

import asyncio

import pytest

from libs.page.trust import Against, Trust
from services.worker.engines.engine import PageFailure, PageImage, PageText
from services.worker.engines.guard.guarded import GuardedEngine
from services.worker.engines.settings import EngineSettings
from tests.transcripts import (
    CHINESE,
    INVENTED,
    PAGE,
    Order,
    ScriptedFallback,
    ScriptedTranscriber,
    Source,
    everything,
    loop,
    page_image,
    settled,
    stop,
)
from tests.waiting import until

AGREED = Trust(figure=1.0, passage=1.0, against=Against.OCR)
PLAIN, WITH_LAYER, WITH_RUBBISH = page_image(1), page_image(1, layer=PAGE), page_image(1, layer="\ufffd \x02 " * 99)


async def read(
    check: str, page: PageImage, fallback: ScriptedFallback | None, *orders: Order
) -> PageText | PageFailure:
    settings = EngineSettings(trust_check=check)  # type: ignore[arg-type]
    engine = GuardedEngine(ScriptedTranscriber({1: list(orders) or [stop(PAGE)]}), settings, fallback)
    await engine.load()
    (result,) = [r async for r in engine.recognise(aiter(Source([page])))]
    return result


async def trust(check: str, page: PageImage, fallback: ScriptedFallback | None, *orders: Order) -> float | None:
    result = await read(check, page, fallback, *orders)
    assert isinstance(result, PageText)
    assert result.trust is not None
    return result.trust.figure


@pytest.mark.parametrize("check", ["auto", "layer", "engine"])
async def test_a_text_that_agrees_with_the_layer_is_trusted_and_no_second_engine_is_asked(check: str) -> None:
    assert await trust(check, WITH_LAYER, fallback := ScriptedFallback(says=INVENTED)) == 1.0
    assert not fallback.asked


async def test_an_invented_page_is_not_trusted() -> None:
    figure = await trust("layer", WITH_LAYER, ScriptedFallback(says=PAGE), stop(INVENTED))
    assert figure is not None
    assert figure < 0.15


async def test_a_rubbish_layer_gives_no_figure_rather_than_a_wrong_one() -> None:
    assert await trust("layer", WITH_RUBBISH, None) is None


async def test_a_page_without_a_layer_has_no_figure() -> None:
    assert await trust("layer", PLAIN, ScriptedFallback(says=PAGE)) is None
    assert await trust("off", WITH_LAYER, ScriptedFallback(says=PAGE)) is None


async def test_by_default_a_second_engine_reads_only_suspicious_pages() -> None:
    assert await trust("auto", PLAIN, fallback := ScriptedFallback(says=PAGE)) is None
    assert not fallback.asked
    assert await trust("auto", PLAIN, ScriptedFallback(says=PAGE), loop(), stop(PAGE)) == 1.0
    # A layer may lack the text in pictures, so a text that differs from it is suspicious, but may be right.
    assert await trust("auto", WITH_LAYER, ScriptedFallback(says=INVENTED), stop(INVENTED)) == 1.0
    assert await trust("auto", WITH_LAYER, ScriptedFallback(fails=True), stop(INVENTED)) == await trust(
        "layer", WITH_LAYER, None, stop(INVENTED)
    )


async def test_with_the_setting_engine_a_second_engine_reads_every_page() -> None:
    assert await trust("engine", PLAIN, ScriptedFallback(says=PAGE)) == 1.0
    assert await trust("engine", PLAIN, ScriptedFallback(says="Too little to compare.")) is None
    assert await trust("engine", PLAIN, None) is None


async def test_an_engine_that_cannot_read_the_script_gives_no_figure() -> None:
    assert await trust("engine", PLAIN, ScriptedFallback(says=PAGE), stop(CHINESE)) is None
    assert await trust("engine", PLAIN, ScriptedFallback(says=PAGE + CHINESE), stop(PAGE)) is not None


async def test_a_page_that_the_fallback_read_has_no_figure() -> None:
    result = await read("engine", WITH_LAYER, ScriptedFallback(says=PAGE), loop())
    assert isinstance(result, PageText)
    assert (result.markdown, result.trust) == (PAGE, None)


async def test_pages_do_not_queue_for_the_second_engine_and_the_model_reads_on() -> None:
    waits = asyncio.Event()
    fallback = ScriptedFallback(says=PAGE, waits=waits)
    orders: dict[int, list[Order]] = {n: [loop(), stop(PAGE)] for n in (1, 2, 3, 4)}
    engine = GuardedEngine(ScriptedTranscriber(orders, slots=1), EngineSettings(), fallback)
    await engine.load()
    results = engine.recognise(aiter(Source([page_image(n) for n in (1, 2, 3)])))
    unasked = [await anext(results), await anext(results)]
    assert [r.trust and r.trust.figure for r in unasked if isinstance(r, PageText)] == [None, None]
    waits.set()
    (asked,) = [r async for r in results]
    assert isinstance(asked, PageText)
    assert asked.trust == AGREED
    assert fallback.asked == [asked.page_no]
    assert [r.trust for r in await everything(engine, Source([page_image(4)])) if isinstance(r, PageText)] == [AGREED]


async def test_pages_that_wait_for_the_second_engine_leave_room_for_others() -> None:
    settings = EngineSettings(trust_check="engine")
    fallback = ScriptedFallback(says=PAGE, waits=asyncio.Event())
    engine = GuardedEngine(ScriptedTranscriber(slots=1), settings, fallback)
    await engine.load()
    source = Source([page_image(n) for n in range(1, 9)])
    reading = asyncio.create_task(everything(engine, source))
    await until(lambda: source.pulled == 3)
    await settled()
    assert source.pulled == 3  # one with the fallback, one that waits for it, and one behind
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert fallback.at_work == 0
