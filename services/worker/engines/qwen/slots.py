"""The fast decoder: many pages side by side, each in a slot, a new page in as soon as one ends.

The prompt of a page is read into its slot alone (prefill): computing bounds that work already, so a batch would gain
nothing. Then all slots write a token together (a step): reading the weights bounds that work, and they are read once
for all slots.
"""

import heapq

import torch

from services.worker.engines.execution import Execution
from services.worker.engines.picture import Pixels
from services.worker.engines.pixel_limits import PixelLimits
from services.worker.engines.qwen.decoder import LOOP_CHECK_TOKENS, Generation, IsLoop
from services.worker.engines.qwen.graphs import StepRunner
from services.worker.engines.qwen.memory import STEPS_PER_POLL
from services.worker.engines.qwen.page import Prompt, resize
from services.worker.engines.qwen.text import TextTower
from services.worker.engines.qwen.vision import VisionTower
from services.worker.engines.transcriber import Ending, Sampling

# Tokens: the bound to the slots' lengths that a step is given is a multiple of this. Chosen: `sdpa_grouped` reads every
# slot up to the bound, and a new bound is a new shape.
_CONTEXT_STEP = 128


class SlotDecoder:
    """A `Decoder` whose slots advance together, on a GPU without the host in between.

    `capacity` is the most tokens of a page: prompt, answer and `STEPS_PER_POLL` more. `eos_token_ids` end an answer.
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
        eos_token_ids: frozenset[int],
        is_loop: IsLoop,
    ) -> None:
        self._vision = vision
        self._text = text
        self._limits = limits
        self._prompt = prompt
        self._eos_token_ids = eos_token_ids
        self._is_loop = is_loop
        self._cache = text.new_cache(slots, capacity)
        # A heap: the lowest slot is taken first, since a step computes all slots up to the highest busy one.
        self._free = list(range(slots))
        self._busy: dict[int, _BusySlot] = {}
        device = text.device
        # By slot: its last token, that token's position, the tokens in the cache, and 1 while the slot is busy.
        zeros = torch.zeros(slots, dtype=torch.int64, device=device)
        self._tokens, self._positions, self._lengths, self._active = (zeros.clone() for _ in range(4))
        # The tokens since the last poll, and the number of the step that writes the next row.
        self._recent = torch.zeros((STEPS_PER_POLL, slots), dtype=torch.int64, device=device)
        self._cursor = torch.zeros(1, dtype=torch.int64, device=device)
        self._logits = torch.zeros((slots, text.vocab_size), dtype=text.dtype, device=device)
        self._context = capacity
        self._steps = StepRunner(self._step, slots=slots, capture=text.capturable)
        self._reset()

    @property
    def slots(self) -> int:
        """Pages that are written at a time."""
        return self._cache.slots

    @property
    def free_slots(self) -> int:
        """Pages that can be admitted now."""
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
        """The page at the size at which the model sees it. Raises `Untranscribable`."""
        return resize(pixels, *self._limits.target_size(pixels, sampling.scale))

    @torch.inference_mode()
    def admit(self, page: Pixels, sampling: Sampling) -> Generation:
        """Read a page into the lowest free slot, and write its first token."""
        slot = heapq.heappop(self._free)
        try:
            busy = self._busy[slot] = self._prefill(page, slot, sampling)
        except BaseException:
            heapq.heappush(self._free, slot)
            raise
        return busy.generation

    @torch.inference_mode()
    def advance(self) -> list[Generation]:
        """Write up to `STEPS_PER_POLL` tokens in every slot."""
        if any(busy.wants_more for busy in self._busy.values()):
            self._decode()
        ended = [slot for slot, busy in self._busy.items() if not busy.wants_more]
        return [self._release(slot) for slot in ended]

    def _prefill(self, page: Pixels, slot: int, sampling: Sampling) -> "_BusySlot":
        pixels = torch.from_numpy(page).to(self._text.device, non_blocking=True)
        image_embeds = self._vision.encode(pixels)
        rows, columns = page.shape[0] // self._limits.factor, page.shape[1] // self._limits.factor
        input_ids, position_ids = self._prompt.input_ids(rows * columns), self._prompt.position_ids(rows, columns)
        device = self._text.device
        logits = self._text.prefill(
            torch.from_numpy(input_ids).to(device),
            torch.from_numpy(position_ids).to(device),
            image_embeds,
            len(self._prompt.before),
            self._cache,
            slot,
        )
        length = len(input_ids)
        busy = _BusySlot(Generation(sampling), length, device)
        token = busy.sample(logits)
        self._tokens[slot] = token
        self._lengths[slot], self._positions[slot], self._active[slot] = length, int(position_ids[0, -1]) + 1, 1
        self._append(busy, [int(token)])
        return busy

    def _decode(self) -> None:
        """Make `STEPS_PER_POLL` steps, then copy their tokens to the host."""
        batch = max(self._busy) + 1
        self._context = self._context_bound()
        sampled = [(slot, busy) for slot, busy in self._busy.items() if busy.generation.sampling.temperature > 0]
        for step in range(STEPS_PER_POLL):
            self._steps.run(batch)
            for slot, busy in sampled:
                token = busy.sample(self._logits[slot])
                self._tokens[slot] = token
                self._recent[step, slot] = token
        # A GPU is still at the steps: the tokens of those before are searched for loops meanwhile, and cost it no wait.
        for busy in self._busy.values():
            busy.search(self._is_loop)
        written = self._recent[:, :batch].cpu().numpy()
        for slot, busy in self._busy.items():
            busy.length += STEPS_PER_POLL
            busy.generation.on_progress()
            if busy.generation.ending is None:
                self._append(busy, [int(token) for token in written[:, slot]])

    def _step(self, batch: int) -> None:
        """One more token in each of the first slots. Touches the device only, so that it can be captured."""
        tokens, lengths, positions = self._tokens[:batch], self._lengths[:batch], self._positions[:batch]
        logits = self._text.step(tokens, positions, lengths, self._cache, self._context)
        self._logits[:batch].copy_(logits)
        tokens.copy_(logits.argmax(dim=-1))
        lengths.add_(self._active[:batch])
        positions.add_(self._active[:batch])
        self._recent.index_copy_(0, self._cursor, self._tokens.unsqueeze(0))
        self._cursor.add_(1).remainder_(STEPS_PER_POLL)

    def _append(self, busy: "_BusySlot", tokens: list[int]) -> None:
        """Add tokens up to the answer's end; steps after it have written more than belongs to it."""
        generation = busy.generation
        for token in tokens:
            if token in self._eos_token_ids:
                generation.ending = Ending.STOP
            else:
                generation.tokens.append(token)
                if len(generation.tokens) >= generation.sampling.max_tokens:
                    generation.ending = Ending.LENGTH
            if generation.ending is not None:
                busy.search(self._is_loop)
                return

    def _context_bound(self) -> int:
        """A number of tokens that no slot reaches before the next poll."""
        longest = max(busy.length for busy in self._busy.values()) + STEPS_PER_POLL
        return min(self._cache.capacity, -(-longest // _CONTEXT_STEP) * _CONTEXT_STEP)

    def _release(self, slot: int) -> Generation:
        # Steps still compute a free slot below a busy one. Not active, it overwrites its one token each time.
        self._tokens[slot] = self._lengths[slot] = self._positions[slot] = self._active[slot] = 0
        heapq.heappush(self._free, slot)
        return self._busy.pop(slot).generation

    def _reset(self) -> None:
        """Undo what the steps that were captured have written."""
        for state in (self._tokens, self._positions, self._lengths, self._active, self._cursor):
            state.zero_()


class _BusySlot:
    """What the host knows of a busy slot; `length` is the tokens that it holds."""

    def __init__(self, generation: Generation, length: int, device: torch.device) -> None:
        self.generation = generation
        self.length = length
        # The tokens that were searched for loops.
        self._searched = 0
        # One for each slot, so that the other slots do not change what is drawn.
        self._generator = torch.Generator(device).manual_seed(generation.sampling.seed)

    @property
    def wants_more(self) -> bool:
        """Whether the page has not ended and its caller still waits for it."""
        return self.generation.ending is None and not self.generation.cancelled

    def search(self, is_loop: IsLoop) -> None:
        """Look for a loop at each multiple of `LOOP_CHECK_TOKENS` that is new; the tokens after one are dropped."""
        tokens = self.generation.tokens
        while self._searched + LOOP_CHECK_TOKENS <= len(tokens):
            self._searched += LOOP_CHECK_TOKENS
            if is_loop(tokens[: self._searched]):
                del tokens[self._searched :]
                self.generation.ending = Ending.LOOP
                return

    def sample(self, logits: torch.Tensor) -> torch.Tensor:
        """The next token from logits (V,), by the page's temperature."""
        temperature = self.generation.sampling.temperature
        if temperature == 0:
            return logits.argmax()
        probabilities = torch.softmax(logits.float() / temperature, dim=-1)
        # As `torch.multinomial` draws one token, without its checks, which copy a value to the host in every step.
        noise = torch.empty_like(probabilities).exponential_(generator=self._generator)
        return (probabilities / noise).argmax()
