"""One page and a model that may go wrong on it: attempts until a text is sound, then the fallback or a failure."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

import msgspec

from libs.page.block import Source
from libs.page.markdown import MarkdownOptions, to_markdown
from libs.page.trust import Trust
from services.worker.engines.engine import Finish, PageFailure, PageImage, PageText, Try
from services.worker.engines.guard.answer import judge
from services.worker.engines.guard.attempts import Attempt, Verdict, next_try
from services.worker.engines.guard.crosscheck import CrossCheck
from services.worker.engines.guard.fallback_queue import FallbackQueue
from services.worker.engines.guard.permits import Permit, Permits
from services.worker.engines.picture import PictureError, Pixels, decode, is_blank
from services.worker.engines.profiles.profile import Answer
from services.worker.engines.transcriber import Sampling, Transcriber, Untranscribable

# What a second reading is compared with: all that the model read.
_ALL = MarkdownOptions(headers=True)
REMEDY = "Retry the page with another engine, or at another resolution."
_FAULTS = {
    Verdict.LOOP: "repeated itself",
    Verdict.LENGTH: "did not come to an end",
    Verdict.EMPTY: "found nothing",
}


class AttemptsResult(msgspec.Struct, frozen=True, kw_only=True):
    """What all attempts at a page led to: a sound `answer`, or a `fault`, the sentence that says why there is none."""

    tries: tuple[Try, ...]
    answer: Answer | None = None
    fault: str = ""

    @property
    def tokens(self) -> int:
        """Tokens that the model wrote in all attempts."""
        return sum(attempt.tokens for attempt in self.tries)


class AttemptLoop:
    """Reads pages with one transcriber; `model_permits` is how many pages the model has at a time."""

    def __init__(
        self,
        transcriber: Transcriber,
        fallback: FallbackQueue | None,
        crosscheck: CrossCheck,
        *,
        max_tokens: int,
        model_permits: Permits,
    ) -> None:
        self._transcriber = transcriber
        self._fallback = fallback
        self._crosscheck = crosscheck
        self._max_tokens = max_tokens
        self._model_permits = model_permits

    async def read(self, page: PageImage, permit: Permit) -> PageText | PageFailure:
        """The page's text, or why it has none. Releases the page's `permit` when only the fallback has work left."""
        began = time.monotonic()
        try:
            pixels, blank = await asyncio.to_thread(_decode, page.data)
        except PictureError as error:
            return PageFailure(page_no=page.page_no, reason=str(error), seconds=_since(began))
        decoding = _since(began)
        if blank:
            return PageText(
                page_no=page.page_no,
                markdown="",
                finish=Finish.BLANK,
                seconds=decoding,
                source=Source.MODEL,
                width=pixels.shape[1],
                height=pixels.shape[0],
            )
        height, width = pixels.shape[:2]
        result = await self._attempt(page, pixels)
        del pixels  # frees some 10 MB: the page may wait minutes for the fallback
        # The wait for the model is not part of the page's seconds.
        seconds = round(decoding + sum(attempt.seconds for attempt in result.tries), 3)
        if result.answer is None:
            return await self._fall_back(page, permit, result, seconds)
        answer = result.answer
        return PageText(
            page_no=page.page_no,
            markdown=to_markdown(answer.blocks),
            blocks=answer.blocks,
            finish=Finish.STOP,
            seconds=seconds,
            tries=result.tries,
            source=Source.MODEL,
            width=width,
            height=height,
            tokens=result.tokens,
            trust=await self._trust(page, permit, answer, troubled=len(result.tries) > 1),
        )

    async def _trust(self, page: PageImage, permit: Permit, answer: Answer, *, troubled: bool) -> Trust:
        engine, text = self._transcriber.info().name, to_markdown(answer.blocks, _ALL)
        trust = await self._crosscheck.trust(page, permit, text, engine=engine, troubled=troubled)
        return msgspec.structs.replace(trust, malformed=answer.malformed, turned=answer.turn)

    async def _attempt(self, page: PageImage, pixels: Pixels) -> AttemptsResult:
        """Ask the model until an answer is sound or the policy allows no further attempt."""
        tried: list[Attempt] = []
        tries: list[Try] = []
        permit = await self._model_permits.acquire()
        try:
            profile, (height, width) = self._transcriber.profile, pixels.shape[:2]
            while (sampling := next_try(tried, max_tokens=self._max_tokens, coolest=profile.temperature)) is not None:
                began = time.monotonic()
                try:
                    transcript = await self._transcriber.transcribe(pixels, sampling, page.alive)
                except Untranscribable as refusal:
                    tries.append(self._record(sampling, Verdict.REFUSED, 0, began))
                    return AttemptsResult(tries=tuple(tries), fault=str(refusal))
                page.alive()
                answer, verdict = await asyncio.to_thread(judge, transcript, profile, width, height)
                tries.append(self._record(sampling, verdict, transcript.tokens, began))
                if verdict is Verdict.STOP:
                    return AttemptsResult(tries=tuple(tries), answer=answer)
                tried.append(Attempt(sampling=sampling, verdict=verdict))
        finally:
            permit.release()
        return AttemptsResult(tries=tuple(tries), fault=self._fault([attempt.verdict for attempt in tried]))

    async def _fall_back(
        self, page: PageImage, permit: Permit, result: AttemptsResult, seconds: float
    ) -> PageText | PageFailure:
        if self._fallback is None:
            return PageFailure(
                page_no=page.page_no,
                reason=f"{result.fault} {REMEDY}",
                seconds=seconds,
                tries=result.tries,
                tokens=result.tokens,
            )
        other = await self._fallback.recognise(page, permit, self._transcriber.info().name)
        read = isinstance(other, PageText)
        name = other.engine.name if isinstance(other, PageText) and other.engine else "fallback"
        last = Try(engine=name, ending=Verdict.STOP if read else Verdict.REFUSED, seconds=other.seconds)
        other = msgspec.structs.replace(
            other,
            seconds=round(seconds + other.seconds, 3),
            fallback=result.fault,
            tries=(*result.tries, last),
            tokens=result.tokens,
        )
        if isinstance(other, PageFailure):
            return msgspec.structs.replace(other, reason=f"{result.fault} {other.reason} {REMEDY}")
        return other

    def _record(self, sampling: Sampling, verdict: Verdict, tokens: int, began: float) -> Try:
        return Try(
            engine=self._transcriber.info().name,
            ending=verdict,
            temperature=sampling.temperature,
            scale=sampling.scale,
            tokens=tokens,
            seconds=_since(began),
        )

    def _fault(self, verdicts: Sequence[Verdict]) -> str:
        faults = ", ".join(
            f"{_FAULTS[verdict]} ({count} time{'s' * (count > 1)})" for verdict, count in Counter(verdicts).items()
        )
        return f"The engine {self._transcriber.info().name} could not read the page: it {faults}."


def _decode(data: bytes) -> tuple[Pixels, bool]:
    """The page's pixels, and whether it is blank. Raises `PictureError`."""
    pixels = decode(data)
    return pixels, is_blank(pixels)


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)
