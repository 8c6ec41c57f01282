"""The fast path: many pages side by side, each in a slot, a new page in as soon as one is done.

A page's prompt goes straight into its slot, one page at a time, since that work is bound by computing already. Then all
slots write a token together, since that work is bound by reading the weights, which are read once for all of them.
"""

import heapq

import torch

from services.worker.engines.execution import Execution
from services.worker.engines.picture import Pixels
from services.worker.engines.qwen.decoder import LOOP_EVERY, IsLoop, Writing
from services.worker.engines.qwen.graphs import Steps
from services.worker.engines.qwen.memory import POLL
from services.worker.engines.qwen.page import PixelLimits, Prompt, resize
from services.worker.engines.qwen.text import TextTower
from services.worker.engines.qwen.vision import VisionTower
from services.worker.engines.transcriber import Ending, Sampling

_CONTEXT_STEP = 128


class SlotDecoder:
    """A `Decoder` whose slots advance together, on the GPU without the host in between.

    `capacity` is the most tokens of a page, prompt and answer and `POLL` more; `stops` are the tokens that end one.
    """

    def __init__(
        self,
        vision: VisionTower,
        text: TextTower,
        *,
        slots: int,
        capacity: int,
        limits: PixelLimits,
        prompt: Prompt,
        stops: frozenset[int],
        is_loop: IsLoop,
    ) -> None:
        self._vision = vision
        self._text = text
        self._limits = limits
        self._prompt = prompt
        self._stops = stops
        self._is_loop = is_loop
        self._cache = text.new_cache(slots, capacity)
        # The lowest free slot comes first: a step reaches as far as the highest busy one.
        self._free = list(range(slots))
        self._busy: dict[int, _Row] = {}
        device = text.device
        zeros = torch.zeros(slots, dtype=torch.int64, device=device)
        self._tokens, self._positions, self._lengths, self._active = (zeros.clone() for _ in range(4))
        self._recent = torch.zeros((POLL, slots), dtype=torch.int64, device=device)
        self._cursor = torch.zeros(1, dtype=torch.int64, device=device)
        self._logits = torch.zeros((slots, text.vocab_size), dtype=text.dtype, device=device)
        self._context = capacity
        self._steps = Steps(self._step, slots=slots, capture=text.capturable)
        self._clear()

    @property
    def slots(self) -> int:
        """How many pages are written at once."""
        return self._cache.slots

    @property
    def free(self) -> int:
        """How many more pages can be admitted now."""
        return len(self._free)

    @property
    def execution(self) -> Execution:
        """How a step is computed. Attention that fell back is the reason why no step is captured."""
        attention = self._text.attention
        return Execution(
            kernel=attention.kernel,
            graphs=self._steps.graphs,
            fallback=attention.fallback or self._steps.fallback,
        )

    def prepare(self, pixels: Pixels, sampling: Sampling) -> Pixels:
        """The page at the size that the model is to see. Raises `Untranscribable`."""
        return resize(pixels, *self._limits.target_size(pixels, sampling.scale))

    @torch.inference_mode()
    def admit(self, page: Pixels, sampling: Sampling) -> Writing:
        """Read a page into the lowest free slot, and write its first token."""
        slot = heapq.heappop(self._free)
        try:
            row = self._busy[slot] = self._read(page, slot, sampling)
        except BaseException:
            heapq.heappush(self._free, slot)
            raise
        return row.writing

    @torch.inference_mode()
    def advance(self) -> list[Writing]:
        """Write up to `POLL` tokens in every slot."""
        if any(self._wants_more(row) for row in self._busy.values()):
            self._write()
        ended = [slot for slot, row in self._busy.items() if row.writing.ending or row.writing.given_up]
        return [self._release(slot) for slot in ended]

    def _read(self, page: Pixels, slot: int, sampling: Sampling) -> "_Row":
        pixels = torch.from_numpy(page).to(self._text.device, non_blocking=True)
        picture = self._vision.encode(pixels)
        rows, columns = page.shape[0] // self._limits.factor, page.shape[1] // self._limits.factor
        tokens, positions = self._prompt.input_ids(rows * columns), self._prompt.position_ids(rows, columns)
        device = self._text.device
        logits = self._text.prefill(
            torch.from_numpy(tokens).to(device),
            torch.from_numpy(positions).to(device),
            picture,
            len(self._prompt.before),
            self._cache,
            slot,
        )
        row = _Row(Writing(sampling), len(tokens), device)
        token = row.choose(logits)
        self._tokens[slot] = token
        self._lengths[slot], self._positions[slot], self._active[slot] = len(tokens), int(positions[0, -1]) + 1, 1
        self._take(row, [int(token)])
        return row

    def _write(self) -> None:
        batch = max(self._busy) + 1
        self._context = self._bound()
        sampled = [(slot, row) for slot, row in self._busy.items() if row.writing.sampling.temperature > 0]
        for step in range(POLL):
            self._steps.run(batch)
            for slot, row in sampled:
                token = row.choose(self._logits[slot])
                self._tokens[slot] = token
                self._recent[step, slot] = token
        written = self._recent[:, :batch].cpu().numpy()
        for slot, row in self._busy.items():
            row.length += POLL
            row.writing.beat()
            if row.writing.ending is None:
                self._take(row, [int(token) for token in written[:, slot]])

    def _step(self, batch: int) -> None:
        """One token more in each of the first slots. Touches nothing but the device, so that it can be captured."""
        tokens, lengths, positions = self._tokens[:batch], self._lengths[:batch], self._positions[:batch]
        logits = self._text.step(tokens, positions, lengths, self._cache, self._context)
        self._logits[:batch].copy_(logits)
        tokens.copy_(logits.argmax(dim=-1))
        lengths.add_(self._active[:batch])
        positions.add_(self._active[:batch])
        self._recent.index_copy_(0, self._cursor, self._tokens.unsqueeze(0))
        self._cursor.add_(1).remainder_(POLL)

    def _take(self, row: "_Row", tokens: list[int]) -> None:
        """Add what was written, up to the page's end."""
        writing = row.writing
        for token in tokens:
            if token in self._stops:
                writing.ending = Ending.STOP
                return
            writing.tokens.append(token)
            if len(writing.tokens) % LOOP_EVERY == 0 and self._is_loop(writing.tokens):
                writing.ending = Ending.LOOP
                return
            if len(writing.tokens) >= writing.sampling.max_tokens:
                writing.ending = Ending.LENGTH
                return

    def _wants_more(self, row: "_Row") -> bool:
        return row.writing.ending is None and not row.writing.given_up

    def _bound(self) -> int:
        """A number of tokens that no slot reaches within the coming steps."""
        longest = max(row.length for row in self._busy.values()) + POLL
        return min(self._cache.capacity, -(-longest // _CONTEXT_STEP) * _CONTEXT_STEP)

    def _release(self, slot: int) -> Writing:
        # An idle slot below a busy one goes on to be computed, in place: its only token is overwritten each time.
        self._tokens[slot] = self._lengths[slot] = self._positions[slot] = self._active[slot] = 0
        heapq.heappush(self._free, slot)
        return self._busy.pop(slot).writing

    def _clear(self) -> None:
        """Forget what capturing the steps has left."""
        for state in (self._tokens, self._positions, self._lengths, self._active, self._cursor):
            state.zero_()


class _Row:
    """What the host knows of a busy slot; `length` is how many tokens it holds."""

    def __init__(self, writing: Writing, length: int, device: torch.device) -> None:
        self.writing = writing
        self.length = length
        self._generator = torch.Generator(device).manual_seed(writing.sampling.seed)

    def choose(self, logits: torch.Tensor) -> torch.Tensor:
        """The next token from logits (vocabulary,). The slot's own generator makes neighbours count for nothing."""
        temperature = self.writing.sampling.temperature
        if temperature == 0:
            return logits.argmax()
        chances = torch.softmax(logits.float() / temperature, dim=-1)
        # As `multinomial` draws one, without its questions to the device, for which the host would wait every step.
        noise = torch.empty_like(chances).exponential_(generator=self._generator)
        return (chances / noise).argmax()
