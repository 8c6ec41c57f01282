"""The plain path: transformers' own processor and `generate`, a page at a time.

What the fast path is held against, and what remains for models or machines that it does not suit.
"""

from typing import Any

import torch
from PIL import Image
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from services.worker.engines.execution import Execution
from services.worker.engines.picture import Pixels
from services.worker.engines.qwen.checkpoint import Checkpoint
from services.worker.engines.qwen.decoder import LOOP_EVERY, IsLoop, Writing
from services.worker.engines.qwen.page import PixelLimits, chat_text, resize
from services.worker.engines.transcriber import Ending, Sampling


class ReferenceDecoder:
    """A `Decoder` of one slot. Every page is whole after one `advance`."""

    slots = 1
    execution = Execution(kernel="generate")

    def __init__(self, checkpoint: Checkpoint, *, prompt: str, limits: PixelLimits, is_loop: IsLoop) -> None:
        self._checkpoint = checkpoint
        self._limits = limits
        self._is_loop = is_loop
        self._conversation = chat_text(checkpoint.processor, prompt)
        self._admitted: tuple[Pixels, Writing] | None = None

    @property
    def free(self) -> int:
        """Whether a page can be admitted now."""
        return 0 if self._admitted else 1

    def prepare(self, pixels: Pixels, sampling: Sampling) -> Pixels:
        """The page as it is: the processor scales it. Raises `Untranscribable`."""
        self._limits.target_size(pixels, sampling.scale)
        return pixels

    def admit(self, page: Pixels, sampling: Sampling) -> Writing:
        """Take the page, to be read by `advance`."""
        writing = Writing(sampling)
        self._admitted = page, writing
        return writing

    def advance(self) -> list[Writing]:
        """Read the page from its beginning to its end."""
        if self._admitted is None:
            return []
        (page, writing), self._admitted = self._admitted, None
        inputs = self.inputs(page, writing.sampling.scale)
        prompt = inputs["input_ids"].shape[1]
        watch = _Watch(prompt, self._is_loop, writing)
        with torch.inference_mode(), torch.random.fork_rng():
            torch.manual_seed(writing.sampling.seed)
            output = self._checkpoint.model.generate(
                **inputs,
                generation_config=self._generation(writing.sampling),
                stopping_criteria=StoppingCriteriaList([watch]),
            )
        writing.tokens = output[0, prompt:].tolist()
        if writing.tokens[-1] in self._checkpoint.stops:
            writing.tokens.pop()
            writing.ending = Ending.STOP
        elif not writing.given_up:
            writing.ending = Ending.LOOP if watch.looped else Ending.LENGTH
        return [writing]

    def inputs(self, pixels: Pixels, scale: float = 1.0) -> dict[str, torch.Tensor]:
        """What the processor makes of a page, on the model's device."""
        height, width = self._limits.target_size(pixels, scale)
        # At a scale of 1 the processor finds the same size by itself.
        picture = pixels if scale == 1.0 else resize(pixels, height, width)
        made = self._checkpoint.processor(
            text=[self._conversation],
            images=[Image.fromarray(picture)],
            return_tensors="pt",
            # The class's own limits are 1,280 visual tokens, the hub's 16,384: neither is ours.
            size={"shortest_edge": self._limits.min_pixels, "longest_edge": self._limits.max_pixels},
        )
        device = self._checkpoint.model.device
        return {name: tensor.to(device) for name, tensor in made.items()}

    def _generation(self, sampling: Sampling) -> GenerationConfig:
        """Everything said anew: checkpoints come with a repetition penalty, which damages tables."""
        shipped = self._checkpoint.model.generation_config
        chosen: dict[str, Any] = {"do_sample": False}
        if sampling.temperature > 0:
            chosen = {"do_sample": True, "temperature": sampling.temperature, "top_k": 0, "top_p": 1.0}
        return GenerationConfig(
            max_new_tokens=sampling.max_tokens,
            eos_token_id=sorted(self._checkpoint.stops),
            pad_token_id=shipped.pad_token_id,
            bos_token_id=shipped.bos_token_id,
            repetition_penalty=1.0,
            **chosen,
        )


class _Watch(StoppingCriteria):
    """Stops what repeats itself, and what nobody wants any more."""

    def __init__(self, prompt: int, is_loop: IsLoop, writing: Writing) -> None:
        self._prompt = prompt
        self._is_loop = is_loop
        self._writing = writing
        self.looped = False

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        self._writing.beat()
        if (input_ids.shape[1] - self._prompt) % LOOP_EVERY == 0:
            self.looped = self._is_loop(input_ids[0, self._prompt :].tolist())
        over = self.looped or self._writing.given_up
        return torch.full((input_ids.shape[0],), over, dtype=torch.bool, device=input_ids.device)
