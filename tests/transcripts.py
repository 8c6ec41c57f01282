"""A transcriber and a fallback that follow a script, for tests of the guard.

The number of a page is the value of its first pixel: `page_image(7)` is page 7.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from services.web.render.png import encode_png
from services.worker.engines.engine import EngineInfo, Finish, OcrEngine, PageFailure, PageImage, PageText, unheard
from services.worker.engines.picture import Pixels
from services.worker.engines.profiles import plain
from services.worker.engines.profiles.profile import Profile
from services.worker.engines.transcriber import Ending, Sampling, Transcript
from tests.layers import layer_of

PAGE = """The company leases its headquarters under an agreement that expires in 2031. Payments under the lease rose by
4.5 percent over the year, to 1,250,000 dollars, since the index of consumer prices on which they depend had risen too.
Management believes that the premises are suitable for the purposes for which they are used, and that further space
could be found nearby at reasonable cost should the number of employees continue to grow as it did in recent years."""
INVENTED = """It was on a dreary night of November that I beheld the accomplishment of my toils. With an anxiety that
almost amounted to agony, I collected the instruments of life around me, that I might infuse a spark of being into the
lifeless thing that lay at my feet. It was already one in the morning; the rain pattered dismally against the panes,
and my candle was nearly burnt out, when, by the glimmer of the light, I saw the dull yellow eye open."""
CHINESE = "公司根据一项将于二零三一年到期的协议租用其总部大楼，去年租金上涨了百分之四点五。"
Order = Transcript | Exception | Callable[[Sampling], Transcript] | asyncio.Event | float
"""What to do in one try: answer, raise, answer by how it is asked; or first wait, for an event or for seconds."""


def stop(text: str, tokens: int = 10) -> Transcript:
    """The model comes to the page's end."""
    return Transcript(text=text, ending=Ending.STOP, tokens=tokens)


def loop(tokens: int = 300) -> Transcript:
    """The model was stopped in a loop."""
    return Transcript(text="over and " * 100, ending=Ending.LOOP, tokens=tokens)


def cut_off(sampling: Sampling) -> Transcript:
    """The model writes on for as long as it may."""
    return Transcript(text="and so on", ending=Ending.LENGTH, tokens=sampling.max_tokens)


class ScriptedTranscriber:
    """Follows the orders for each page, one an attempt; the last one is repeated. Without orders it reads `Page N`."""

    def __init__(
        self,
        orders: Mapping[int, Sequence[Order]] | None = None,
        *,
        slots: int = 2,
        profile: Profile = plain.PROFILE,
    ) -> None:
        self._orders = {page: list(steps) for page, steps in (orders or {}).items()}
        self._slots = slots
        self.profile = profile
        self.asked: list[tuple[int, Sampling]] = []
        self.at_work: set[int] = set()
        self.most_at_work = 0
        self.loaded = False

    async def load(self) -> None:
        """Note that it was called."""
        self.loaded = True

    def info(self) -> EngineInfo:
        """A made-up model."""
        return EngineInfo(name="scripted", revision="1", device="none")

    @property
    def slots(self) -> int:
        """As constructed."""
        return self._slots

    async def transcribe(self, pixels: Pixels, sampling: Sampling, alive: Callable[[], None] = unheard) -> Transcript:
        """The next order's result."""
        assert self.loaded
        page = int(pixels[0, 0, 0])
        self.asked.append((page, sampling))
        assert len(self.at_work) < self._slots, "more pages at once than there are slots"
        self.at_work.add(page)
        self.most_at_work = max(self.most_at_work, len(self.at_work))
        try:
            return await self._obey(page, sampling)
        finally:
            self.at_work.remove(page)

    async def _obey(self, page: int, sampling: Sampling) -> Transcript:
        await asyncio.sleep(0)
        while True:
            order = self._next(page)
            match order:
                case asyncio.Event():
                    await order.wait()
                case float():
                    await asyncio.sleep(order)
                case Transcript():
                    return order
                case Exception():
                    raise order
                case _:
                    return order(sampling)

    def _next(self, page: int) -> Order:
        orders = self._orders.setdefault(page, [stop(f"Page {page}")])
        waits = isinstance(orders[0], (asyncio.Event, float))
        if waits and len(orders) == 1:
            orders.append(stop(f"Page {page}"))
        return orders.pop(0) if len(orders) > 1 else orders[0]


class ScriptedFallback:
    """A fallback that reads `says`, or `Fallback N`, or fails; it waits for the event `waits` first."""

    def __init__(self, *, says: str = "", fails: bool = False, waits: asyncio.Event | None = None) -> None:
        self._says = says
        self._fails = fails
        self._waits = waits
        self.asked: list[int] = []
        self.at_work = 0

    async def recognise(self, page: PageImage, *, instead_of: str) -> PageText | PageFailure:
        """As `Fallback` describes."""
        assert instead_of == "scripted"
        self.asked.append(page.page_no)
        self.at_work += 1
        try:
            if self._waits is not None:
                await self._waits.wait()
            if self._fails:
                return PageFailure(page_no=page.page_no, reason="The fallback engine spare failed.", seconds=1.0)
            info = EngineInfo(name="spare", revision="1", device="cpu")
            return PageText(
                page_no=page.page_no,
                markdown=self._says or f"Fallback {page.page_no}",
                finish=Finish.STOP,
                seconds=1.0,
                engine=info,
            )
        finally:
            self.at_work -= 1


def page_pixels(page_no: int, *, blank: bool = False) -> Pixels:
    """A small page with a word on it, unless it is blank."""
    image = Image.new("RGB", (200, 260), "white")
    if not blank:
        ImageDraw.Draw(image).text((30, 100), "WORD", "black", ImageFont.load_default(40))
    pixels = np.array(image)
    pixels[0, 0, 0] = page_no
    return pixels


def page_image(page_no: int, *, blank: bool = False, layer: str = "") -> PageImage:
    """That page, as stored, with its text layer."""
    carried = layer_of(layer) if layer else None
    return PageImage(page_no=page_no, data=encode_png(page_pixels(page_no, blank=blank), layer=carried))


class Source:
    """Hands out pages and counts those asked for; `then` is raised after the last."""

    def __init__(self, images: Sequence[PageImage], then: Exception | None = None) -> None:
        self._images = images
        self._then = then
        self.pulled = 0

    async def __aiter__(self) -> AsyncIterator[PageImage]:
        """The pages in order."""
        for image in self._images:
            self.pulled += 1
            yield image
        if self._then is not None:
            raise self._then


async def everything(engine: OcrEngine, source: Source) -> list[PageText | PageFailure]:
    """Every result of one call."""
    return [result async for result in engine.recognise(aiter(source))]


async def settled() -> None:
    """Give pages and tasks that must not go on the time to do so; whatever must is waited for by `until`."""
    for _ in range(30):
        await asyncio.sleep(0.01)
