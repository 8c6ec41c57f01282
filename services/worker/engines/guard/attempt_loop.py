"""One page before a model that may go wrong: tried until its text can be believed, or given up."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

import msgspec

from services.worker.engines.engine import Fallback, Finish, PageFailure, PageImage, PageText, Try
from services.worker.engines.guard.answer import judge
from services.worker.engines.guard.attempts import Attempt, Verdict, next_try
from services.worker.engines.guard.crosscheck import Witness
from services.worker.engines.guard.heartbeat import with_signs
from services.worker.engines.guard.permits import Seat, Seats
from services.worker.engines.picture import PictureError, Pixels, decode, is_blank
from services.worker.engines.transcriber import Sampling, Transcriber, Untranscribable

REMEDY = "Retry the page with another engine, or upload it at another resolution."
_FAULTS = {
    Verdict.LOOP: "repeated itself",
    Verdict.LENGTH: "did not come to an end",
    Verdict.EMPTY: "found nothing",
}


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What the tries at a page came to: `text`, or `fault`, a sentence on why there is none."""

    tries: tuple[Try, ...]
    text: str | None = None
    fault: str = ""

    @property
    def tokens(self) -> int:
        """Of all tries."""
        return sum(attempt.tokens for attempt in self.tries)


class Trial:
    """Reads pages with one transcriber; `slots` are its own, and `spare` is where pages wait for the fallback."""

    def __init__(
        self,
        transcriber: Transcriber,
        fallback: Fallback | None,
        witness: Witness,
        *,
        max_tokens: int,
        slots: Seats,
        spare: Seats,
    ) -> None:
        self._transcriber = transcriber
        self._fallback = fallback
        self._witness = witness
        self._max_tokens = max_tokens
        self._slots = slots
        self._spare = spare

    async def read(self, page: PageImage, seat: Seat) -> PageText | PageFailure:
        """The page's text or why it has none. Its `seat` is left when only the fallback still works on it."""
        began = time.monotonic()
        try:
            pixels, blank = await asyncio.to_thread(_look, page.data)
        except PictureError as error:
            return PageFailure(page_no=page.page_no, reason=str(error), seconds=_since(began))
        looking = _since(began)
        if blank:
            return PageText(page_no=page.page_no, markdown="", finish=Finish.BLANK, seconds=looking)
        reading = await self._try(page, pixels)
        del pixels  # a page may wait long for the fallback
        # Waiting for the model is no time spent on the page.
        seconds = round(looking + sum(attempt.seconds for attempt in reading.tries), 3)
        if reading.text is None:
            return await self._fall_back(page, seat, reading, seconds)
        engine, troubled = self._transcriber.info().name, len(reading.tries) > 1
        trust = await self._witness.trust(page, seat, reading.text, engine=engine, troubled=troubled)
        return PageText(
            page_no=page.page_no,
            markdown=reading.text,
            finish=Finish.STOP,
            seconds=seconds,
            tries=reading.tries,
            tokens=reading.tokens,
            trust=trust,
        )

    async def _try(self, page: PageImage, pixels: Pixels) -> Reading:
        """Ask the model until an answer is sound or it is not to be asked again."""
        tried: list[Attempt] = []
        tries: list[Try] = []
        slot = await self._slots.take()
        try:
            while (sampling := next_try(tried, max_tokens=self._max_tokens)) is not None:
                began = time.monotonic()
                try:
                    transcript = await self._transcriber.transcribe(pixels, sampling, page.alive)
                except Untranscribable as refusal:
                    tries.append(self._noted(sampling, Verdict.REFUSED, 0, began))
                    return Reading(tries=tuple(tries), fault=str(refusal))
                page.alive()
                text, verdict = await asyncio.to_thread(judge, transcript)
                tries.append(self._noted(sampling, verdict, transcript.tokens, began))
                if verdict is Verdict.STOP:
                    return Reading(tries=tuple(tries), text=text)
                tried.append(Attempt(sampling=sampling, verdict=verdict))
        finally:
            slot.leave()
        return Reading(tries=tuple(tries), fault=self._gave_up([attempt.verdict for attempt in tried]))

    async def _fall_back(self, page: PageImage, seat: Seat, reading: Reading, seconds: float) -> PageText | PageFailure:
        failure = PageFailure(
            page_no=page.page_no,
            reason=f"{reading.fault} {REMEDY}",
            seconds=seconds,
            tries=reading.tries,
            tokens=reading.tokens,
        )
        if self._fallback is None:
            return failure
        spare = await self._spare.take()
        seat.leave()
        try:
            answer = await with_signs(page, self._fallback, self._transcriber.info().name)
        finally:
            spare.leave()
        read = isinstance(answer, PageText)
        name = answer.engine.name if isinstance(answer, PageText) and answer.engine else "fallback"
        last = Try(engine=name, ending=Verdict.STOP if read else Verdict.REFUSED, seconds=answer.seconds)
        answer = msgspec.structs.replace(
            answer,
            seconds=round(seconds + answer.seconds, 3),
            fallback=reading.fault,
            tries=(*reading.tries, last),
            tokens=reading.tokens,
        )
        if isinstance(answer, PageFailure):
            return msgspec.structs.replace(answer, reason=f"{reading.fault} {answer.reason} {REMEDY}")
        return answer

    def _noted(self, sampling: Sampling, verdict: Verdict, tokens: int, began: float) -> Try:
        return Try(
            engine=self._transcriber.info().name,
            ending=verdict,
            temperature=sampling.temperature,
            scale=sampling.scale,
            tokens=tokens,
            seconds=_since(began),
        )

    def _gave_up(self, verdicts: Sequence[Verdict]) -> str:
        faults = ", ".join(
            f"{_FAULTS[verdict]} ({count} time{'s' * (count > 1)})" for verdict, count in Counter(verdicts).items()
        )
        return f"The engine {self._transcriber.info().name} could not read the page: it {faults}."


def _look(data: bytes) -> tuple[Pixels, bool]:
    """The page's pixels, and whether it is blank. Raises `PictureError`."""
    pixels = decode(data)
    return pixels, is_blank(pixels)


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)
