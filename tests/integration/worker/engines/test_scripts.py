"""Pages in scripts that the engine does not know are flagged; nothing of them is printed as nonsense."""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from libs.page.trust import Doubt
from services.web.render.png import encode_png
from services.worker.engines.context import EngineContext
from services.worker.engines.engine import EngineUnavailable, OcrEngine, PageImage, PageText
from services.worker.engines.lines.wheel import RECOGNITION_MODEL, model_directory
from services.worker.engines.select import create_engine
from services.worker.engines.settings import EngineSettings
from tests.required import missing

pytest.importorskip("rapidocr")

# Of Debian's fonts-dejavu-core. It has no Thai, Hangul and Devanagari: `test_legibility` has what a recogniser makes of
# lines that it does not know, without a picture.
FONT = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")

LATIN = """The committee approved the minutes of the last meeting.
Payments under the lease rose by 4.5 percent over the year.
Management believes that the premises are suitable for it.
Further space could be found nearby at reasonable cost now.
The passenger carried two letters and a map of the islands.
Nothing was missing except a silver button of his own coat.""".splitlines()
FOREIGN = {
    "Cyrillic": """В тихом лесу под вечер стало совсем темно и прохладно.
Путник зажёг фонарь, чтобы найти дорогу к старому дому.
Никто не ждал его там, кроме большой рыжей собаки.
Утром он продолжил свой путь через широкую реку.
Дети бежали за лодкой и громко кричали ему вслед.
Только сторож знал, куда ведёт эта узкая тропа.""".splitlines(),
    "Hebrew": """הוועדה אישרה את הפרוטוקול של הישיבה הקודמת
הילדים רצו אחרי הסירה וצעקו אליו בקול גדול
איש לא חיכה לו שם מלבד כלב גדול אחד
בבוקר הוא המשיך בדרכו אל הנהר הרחב
רק השומר ידע לאן מוביל השביל הצר
היא ביקשה לדבר עם שומר המגדלור""".splitlines(),
    "Arabic": """وافقت اللجنة على محضر الاجتماع السابق
ركض الأطفال خلف القارب وصرخوا بصوت عال
لم ينتظره هناك أحد سوى كلب كبير
في الصباح واصل طريقه إلى النهر الواسع
الحارس وحده كان يعرف إلى أين يقود الطريق
طلبت أن تتحدث مع حارس المنارة القديمة""".splitlines(),
}


def page(*lines: str) -> PageImage:
    """A sheet with these lines, as a page of this number of lines would be printed."""
    if not FONT.is_file():
        missing("DejaVu Sans is not installed (Debian: apt-get install fonts-dejavu-core)")
    image = Image.new("RGB", (1100, 80 + 56 * len(lines)), "white")
    draw = ImageDraw.Draw(image)
    for row, line in enumerate(lines):
        draw.text((60, 40 + 56 * row), line, "black", ImageFont.truetype(str(FONT), 28))
    return PageImage(page_no=1, data=encode_png(np.asarray(image)))


async def loaded(**settings: str) -> OcrEngine:
    engine = create_engine("rapidocr", EngineContext(settings=EngineSettings(ocr_threads=2, **settings)))  # type: ignore[arg-type]
    await engine.load()
    return engine


async def read(engine: OcrEngine, image: PageImage) -> PageText:
    async def pages() -> AsyncIterator[PageImage]:
        yield image

    (result,) = [result async for result in engine.recognise(pages())]
    assert isinstance(result, PageText)
    assert result.trust is not None
    return result


async def test_the_engine_says_which_scripts_it_reads() -> None:
    assert set((await loaded()).info().scripts) == {"Latin", "Greek", "Chinese", "Japanese"}


@pytest.mark.parametrize(
    "script", [pytest.param(script, marks=() if script == "Cyrillic" else pytest.mark.slow) for script in FOREIGN]
)
async def test_a_page_in_another_script_is_flagged_and_none_of_its_lines_is_printed(script: str) -> None:
    result = await read(await loaded(), page(*FOREIGN[script]))
    assert result.trust is not None
    assert Doubt.UNREADABLE in result.trust.doubts
    assert (result.trust.unreadable or 0) > 0.8
    assert len("".join(result.markdown.split())) < 0.05 * len("".join(FOREIGN[script]))
    assert result.trust.reads == (await loaded()).info().scripts


@pytest.mark.slow
async def test_lines_that_can_be_read_stay_on_such_a_page() -> None:
    result = await read(await loaded(), page(*LATIN[:3], *FOREIGN["Cyrillic"]))
    assert result.trust is not None
    assert Doubt.UNREADABLE in result.trust.doubts
    assert [line.text for line in result.lines] == LATIN[:3]


@pytest.mark.slow
async def test_a_page_in_a_known_script_is_not_flagged_for_a_line_in_another() -> None:
    result = await read(await loaded(), page(*LATIN, FOREIGN["Hebrew"][0]))
    assert result.trust is not None
    assert (result.trust.doubts, result.trust.unreadable) == ((), None)
    assert [line.text for line in result.lines][: len(LATIN)] == LATIN


@pytest.mark.slow
async def test_a_further_model_reads_the_lines_that_the_first_cannot(tmp_path: Path) -> None:
    (tmp_path / "heb.onnx").symlink_to(model_directory() / RECOGNITION_MODEL)
    engine = await loaded(ocr_languages="eng+heb", ocr_model_folder=str(tmp_path))
    assert engine.info().revision.endswith("+heb")
    result = await read(engine, page(*LATIN))
    assert [line.text for line in result.lines] == LATIN


async def test_a_language_without_its_model_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"eslav_PP-OCRv5_rec_mobile\.onnx"):
        await loaded(ocr_languages="eng+rus", ocr_model_folder=str(tmp_path))
    (tmp_path / "rus.onnx").write_bytes(b"no model")
    with pytest.raises(EngineUnavailable, match=r"rus\.onnx cannot be loaded"):
        await loaded(ocr_languages="eng+rus", ocr_model_folder=str(tmp_path))
