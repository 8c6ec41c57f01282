"""The reference decoder: transformers' own processor and `generate`, a page at a time.

The tests compare the fast decoder with it, and it remains for models or machines that the fast one does not suit.
"""

from typing import Any

import torch
from PIL import Image
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from services.worker.engines.execution import Execution
from services.worker.engines.picture import Pixels
from services.worker.engines.pixel_limits import PixelLimits
from services.worker.engines.qwen.checkpoint import Checkpoint
from services.worker.engines.qwen.decoder import LOOP_CHECK_TOKENS, Generation, IsLoop
from services.worker.engines.qwen.page import chat_text, resize
from services.worker.engines.transcriber import Ending, Sampling


class ReferenceDecoder:
    """A `Decoder` of one slot. One `advance` writes the whole page."""

    slots = 1
    execution = Execution(kernel="generate")

    def __init__(
        self, checkpoint: Checkpoint, *, prompt: str, limits: PixelLimits, is_loop: IsLoop, image_first: bool = True
    ) -> None:
        self._checkpoint = checkpoint
        self._limits = limits
        self._is_loop = is_loop
        self._conversation = chat_text(checkpoint.processor, prompt, image_first=image_first)
        self._admitted: tuple[Pixels, Generation] | None = None

    @property
    def free_slots(self) -> int:
        """1 where a page can be admitted now, else 0."""
        return 0 if self._admitted else 1

    def prepare(self, pixels: Pixels, sampling: Sampling) -> Pixels:
        """The page unchanged: the processor scales it. Raises `Untranscribable`."""
        self._limits.target_size(pixels, sampling.scale)
        return pixels

    def admit(self, page: Pixels, sampling: Sampling) -> Generation:
        """Take the page for the next `advance`."""
        generation = Generation(sampling)
        self._admitted = page, generation
        return generation

    def advance(self) -> list[Generation]:
        """Write the page from its beginning to its end."""
        if self._admitted is None:
            return []
        (page, generation), self._admitted = self._admitted, None
        inputs = self.inputs(page, generation.sampling.scale)
        prompt = inputs["input_ids"].shape[1]
        stopping = _StoppingCriterion(prompt, self._is_loop, generation)
        with torch.inference_mode(), torch.random.fork_rng():
            torch.manual_seed(generation.sampling.seed)
            output = self._checkpoint.model.generate(
                **inputs,
                generation_config=self._generation_config(generation.sampling),
                stopping_criteria=StoppingCriteriaList([stopping]),
            )
        generation.tokens = output[0, prompt:].tolist()
        if generation.tokens[-1] in self._checkpoint.eos_token_ids:
            generation.tokens.pop()
            generation.ending = Ending.STOP
        elif not generation.cancelled:
            generation.ending = Ending.LOOP if stopping.looped else Ending.LENGTH
        return [generation]

    def inputs(self, pixels: Pixels, scale: float = 1.0) -> dict[str, torch.Tensor]:
        """The model's input for a page, from the processor, on the model's device."""
        height, width = self._limits.target_size(pixels, scale)
        # Without a scale and a limit to the sides the processor finds the same size by itself.
        image = pixels if scale == 1.0 and self._limits.max_side is None else resize(pixels, height, width)
        inputs = self._checkpoint.processor(
            text=[self._conversation],
            images=[Image.fromarray(image)],
            return_tensors="pt",
            # Without it the class's limit holds, 1,280 visual tokens, or the checkpoint's, 16,384.
            size={"shortest_edge": self._limits.min_pixels, "longest_edge": self._limits.max_pixels},
        )
        device = self._checkpoint.model.device
        return {name: tensor.to(device) for name, tensor in inputs.items()}

    def _generation_config(self, sampling: Sampling) -> GenerationConfig:
        """All settings are explicit: checkpoints come with a repetition penalty, which damages tables."""
        shipped = self._checkpoint.model.generation_config
        chosen: dict[str, Any] = {"do_sample": False}
        if sampling.temperature > 0:
            chosen = {"do_sample": True, "temperature": sampling.temperature, "top_k": 0, "top_p": 1.0}
        return GenerationConfig(
            max_new_tokens=sampling.max_tokens,
            eos_token_id=sorted(self._checkpoint.eos_token_ids),
            pad_token_id=shipped.pad_token_id,
            bos_token_id=shipped.bos_token_id,
            repetition_penalty=1.0,
            **chosen,
        )


class _StoppingCriterion(StoppingCriteria):
    """Stops a page that loops, and one that is cancelled."""

    def __init__(self, prompt: int, is_loop: IsLoop, generation: Generation) -> None:
        self._prompt = prompt
        self._is_loop = is_loop
        self._generation = generation
        self.looped = False

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        self._generation.on_progress()
        if (input_ids.shape[1] - self._prompt) % LOOP_CHECK_TOKENS == 0:
            self.looped = self._is_loop(input_ids[0, self._prompt :].tolist())
        stop = self.looped or self._generation.cancelled
        return torch.full((input_ids.shape[0],), stop, dtype=torch.bool, device=input_ids.device)
