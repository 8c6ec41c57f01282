"""The runs: what a step and a page take, whole pages by three ways."""

import asyncio
import itertools
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import GenerationConfig, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.utils import logging

from bench.engine.machine import Machine
from bench.engine.shapes import Scale
from libs.png.header import FILTER_NONE, IHDR, RGB, SIGNATURE, TRAILER
from services.worker.engines.picture import Pixels, decode
from services.worker.engines.pixel_limits import PixelLimits
from services.worker.engines.qwen import memory
from services.worker.engines.qwen.decoder import Generation
from services.worker.engines.qwen.device import available_beside, disable_cudnn_attention
from services.worker.engines.qwen.page import Prompt
from services.worker.engines.qwen.slots import SlotDecoder
from services.worker.engines.qwen.text import TextTower
from services.worker.engines.qwen.thread import DecoderThread
from services.worker.engines.qwen.vision import VisionTower
from services.worker.engines.transcriber import Sampling


class Bench:
    """A model of random weights, and the runs."""

    def __init__(self, machine: Machine, shape: dict[str, Any], scale: Scale, slots: int) -> None:
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        # The ordinary ways are spared them as well: their pages, too, are of several sizes.
        disable_cudnn_attention()
        self.scale = scale
        self.machine = machine
        # Its type says that each part may be a mere dictionary.
        self.config: Any = Qwen2_5_VLConfig(**shape)
        torch.manual_seed(0)
        with machine.device:
            self.model = Qwen2_5_VLForConditionalGeneration._from_config(
                self.config, dtype=self.machine.dtype, attn_implementation="sdpa"
            ).eval()
        # Random weights end a page anywhere; here every page is as long as the mix says.
        self.model.generation_config = GenerationConfig(eos_token_id=None, pad_token_id=0)
        largest = max(height * width for height, width in scale.sides)
        self.limits = PixelLimits(min_pixels=56 * 56, max_pixels=largest)
        before = scale.prompt_tokens // 2
        # Any tokens serve but the picture's own.
        self.prompt = Prompt(
            before=tuple(range(5, 5 + before)),
            after=tuple(range(5 + before, 5 + scale.prompt_tokens)),
            image_token_id=self.config.image_token_id,
        )
        self.capacity = self.limits.max_visual_tokens + len(self.prompt) + max(scale.answers) + memory.STEPS_PER_POLL
        self.requested_slots = slots
        self._admitted: list[Generation] = []
        self._generator = np.random.default_rng(0)
        self.pages = [self._page(*side) for side in itertools.islice(itertools.cycle(scale.sides), scale.pages)]
        self.lengths = list(itertools.islice(itertools.cycle(scale.answers), scale.pages))

    @property
    def parameters(self) -> int:
        """How many numbers the model's weights are."""
        return _count(self.model)

    def towers(self) -> tuple[VisionTower, TextTower]:
        """The fast path's, over the model's own weights."""
        visual, images = self.model.model.visual, Qwen2VLImageProcessorPil
        vision = VisionTower(visual, mean=tuple(images.image_mean), std=tuple(images.image_std))
        return vision, TextTower(self.model, max_tokens=self.capacity)

    def decoder(self) -> SlotDecoder:
        """The fast path, with as many slots as the memory plan allows."""
        itemsize = self.machine.dtype.itemsize
        weights = self.parameters * itemsize
        cost = memory.cost(
            self.config,
            weights=weights,
            itemsize=itemsize,
            visual_tokens=self.limits.max_visual_tokens,
            prompt_tokens=len(self.prompt),
        )
        vision, text = self.towers()
        # What the other ways have left behind would cost slots.
        self.machine.clear()
        available = available_beside(weights, self.machine.device)
        plan = memory.plan(
            cost,
            available=available,
            capacity=self.capacity,
            requested_slots=self.requested_slots,
            device_name=self.machine.name,
        )
        return SlotDecoder(
            vision,
            text,
            slots=plan.slots,
            capacity=self.capacity,
            limits=self.limits,
            prompt=self.prompt,
            eos_token_ids=frozenset(),
            is_loop=lambda tokens: False,
        )

    # What a step and a page take

    def step_bytes(self, batch: int, context: float) -> float:
        """What a decoding step has to read: the language part's weights, and the slots' keys and values."""
        itemsize, text = self.machine.dtype.itemsize, self.model.model.language_model
        weights = _count(text) * itemsize
        config = self.config.text_config
        head_dim = config.hidden_size // config.num_attention_heads
        token = 2 * config.num_hidden_layers * config.num_key_value_heads * head_dim * itemsize
        return float(weights + batch * context * token)

    def decode(self, decoder: SlotDecoder, bandwidth: float | None) -> Iterator[dict[str, float | None]]:
        """A step's time at several batch sizes, against the time that reading alone would take at `bandwidth`."""
        height, width = self.scale.sides[0]
        prompt = height * width // 784 + len(self.prompt)
        rounds = max(1, self.scale.steps // memory.STEPS_PER_POLL)
        for batch in self.scale.batches:
            if batch > decoder.slots:
                continue
            sampling = Sampling(max_tokens=(rounds + 3) * memory.STEPS_PER_POLL)
            self._vacate(decoder)
            for _ in range(batch):
                self._admit(decoder, self._page(height, width), sampling)
            decoder.advance()
            step = self.machine.seconds(decoder.advance, rounds) / memory.STEPS_PER_POLL
            read = self.step_bytes(batch, prompt + rounds * memory.STEPS_PER_POLL / 2)
            floor = read / bandwidth if bandwidth else None
            yield {
                "batch": batch,
                "step_ms": step * 1e3,
                "floor_ms": floor and floor * 1e3,
                "of_roofline": floor and floor / step,
            }

    def page_flops(self, height: int, width: int) -> float:
        """Floating point operations of reading a page's prompt: both towers' products and attention."""
        vision, text = self.config.vision_config, self.config.text_config
        tokens = height * width // 784
        patches, length = tokens * 4, tokens + len(self.prompt)
        seeing = 2 * _count(self.model.model.visual.blocks) * patches
        whole = len(vision.fullatt_block_indexes) * 4 * patches**2 * vision.hidden_size
        reading = 2 * _count(self.model.model.language_model.layers) * length
        flops: float = seeing + whole + reading + text.num_hidden_layers * 2 * length**2 * text.hidden_size
        return flops

    def page(self, decoder: SlotDecoder, matrix_rate: float | None) -> dict[str, float | None]:
        """Vision and prompt of one large page, against the time that the products alone take at `matrix_rate`."""
        self._vacate(decoder)
        height, width = self.scale.sides[0]
        picture = self._page(height, width)

        def work() -> None:
            self._admit(decoder, picture, Sampling(max_tokens=1))

        def once() -> float:
            taken = self.machine.seconds(work)
            decoder.advance()
            return taken

        once()
        page_seconds = float(np.median([once() for _ in range(5)]))
        floor = self.page_flops(height, width) / matrix_rate if matrix_rate else None
        return {
            "page_ms": page_seconds * 1e3,
            "floor_ms": floor and floor * 1e3,
            "of_matrix_rate": floor and floor / page_seconds,
        }

    # Whole pages

    def fast(self, decoder: SlotDecoder) -> dict[str, float]:
        """All pages through the slots, each refilled as it ends."""
        self._vacate(decoder)
        numbers = self._numbers(decoder)
        waiting, busy, looks = list(numbers), 0, 0
        began = time.perf_counter()
        while waiting or decoder.free_slots < decoder.slots:
            while waiting and decoder.free_slots:
                number = waiting.pop(0)
                sampling = Sampling(max_tokens=self.lengths[number])
                self._admit(decoder, decoder.prepare(self.pages[number], sampling), sampling)
            if waiting:
                busy, looks = busy + decoder.slots - decoder.free_slots, looks + 1
            decoder.advance()
        self.machine.wait()
        taken = time.perf_counter() - began
        return {
            "pages_per_second": len(numbers) / taken,
            "tokens_per_second": sum(self.lengths[number] for number in numbers) / taken,
            # While pages were waiting: the end of a run empties the slots of any scheduler.
            "slot_occupancy": busy / max(1, looks) / decoder.slots,
            "peak_bytes": self.machine.peak_bytes(),
        }

    async def served(self, decoder: SlotDecoder) -> dict[str, float]:
        """Pages a second as the worker works: from PNG files, decoded and scaled by threads beside the model's own."""
        self._vacate(decoder)
        thread = DecoderThread(decoder)
        files = [_png(page) for page in self.pages[: len(self.scale.sides)]]
        room = asyncio.Semaphore(decoder.slots + max(1, decoder.slots // 8))

        async def one(number: int) -> None:
            sampling = Sampling(max_tokens=self.lengths[number])
            async with room:
                pixels = await asyncio.to_thread(decode, files[number % len(files)])
                page = await asyncio.to_thread(decoder.prepare, pixels, sampling)
                await thread.write(page, sampling)

        began = time.perf_counter()
        await asyncio.gather(*map(one, self._numbers(decoder)))
        return {"pages_per_second": len(self._numbers(decoder)) / (time.perf_counter() - began)}

    def naive(self) -> float:
        """Pages a second of the ordinary loop: one page after another through `generate`."""
        chosen = self._typical(self.scale.naive_pages)
        self._generate([self.pages[chosen[0]]], 4)

        def loop() -> None:
            for number in chosen:
                self._generate([self.pages[number]], self.lengths[number])

        return len(chosen) / self.machine.seconds(loop)

    def batched(self) -> float:
        """Pages a second of `generate` over a padded batch, which goes on until its longest page ends."""
        numbers = range(self.scale.batched_pages)
        pages, longest = [self.pages[n] for n in numbers], max(self.lengths[n] for n in numbers)
        self._generate(pages, 4)
        return len(pages) / self.machine.seconds(lambda: self._generate(pages, longest))

    def agreement(self, decoder: SlotDecoder) -> dict[str, float]:
        """The share of the fast path's tokens that the reference would have chosen after the same ones before.

        Random weights make many tokens nearly equal, which half precision cannot tell apart; so also by how much the
        reference preferred another token at most, in units of what it gave its favourite.
        """
        self._vacate(decoder)
        page, count = self.pages[0], min(256, max(self.scale.answers))
        generation = self._admit(decoder, page, Sampling(max_tokens=count))
        while generation.ending is None:
            decoder.advance()
        decoder.advance()
        inputs = self._inputs([page])
        written = torch.tensor([generation.tokens], device=self.machine.device)
        inputs["input_ids"] = torch.cat([inputs["input_ids"], written], dim=1)
        inputs["mm_token_type_ids"] = torch.cat([inputs["mm_token_type_ids"], torch.zeros_like(written)], dim=1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        with torch.inference_mode():
            # Those of the whole prompt would take a gigabyte, which the slots may have left none of.
            logits = self.model(**inputs, logits_to_keep=len(generation.tokens) + 1).logits[0, :-1].float()
        best, chosen = logits.max(-1).values, logits.gather(-1, written[0].unsqueeze(-1)).squeeze(-1)
        return {
            "share": float((logits.argmax(-1) == written[0]).float().mean()),
            "shortfall": float(((best - chosen) / best.abs()).max()),
        }

    def load_seconds(self) -> float:
        """Reading the weights from local files to the device."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            self.model.save_pretrained(folder)
            taken = self.machine.seconds(
                lambda: Qwen2_5_VLForConditionalGeneration.from_pretrained(
                    folder, dtype=self.machine.dtype, device_map={"": self.machine.device}, local_files_only=True
                )
            )
        # A second model in memory would leave the next runs too little on a small card.
        self.machine.clear()
        return taken

    def _admit(self, decoder: SlotDecoder, page: Pixels, sampling: Sampling) -> Generation:
        """Take a page into the decoder, to be found there by `_vacate`."""
        generation = decoder.admit(page, sampling)
        self._admitted.append(generation)
        return generation

    def _vacate(self, decoder: SlotDecoder) -> None:
        """Free all slots: a run that failed leaves its pages in them."""
        for generation in self._admitted:
            generation.cancelled = True
        self._admitted.clear()
        decoder.advance()

    def _numbers(self, decoder: SlotDecoder) -> range:
        """The pages that go through the slots: each slot is refilled twice, also on a card of fewer and slower ones."""
        return range(min(len(self.pages), 3 * decoder.slots))

    def _page(self, height: int, width: int) -> Pixels:
        return self._generator.integers(0, 256, (height, width, 3), dtype=np.uint8)

    def _typical(self, count: int) -> list[int]:
        """Pages of the mix whose lengths have the mix's mean, as nearly as so few can."""
        mean = sum(self.lengths) / len(self.lengths)
        return sorted(range(len(self.pages)), key=lambda number: abs(self.lengths[number] - mean))[:count]

    def _inputs(self, pages: Sequence[Pixels]) -> dict[str, torch.Tensor]:
        """A left-padded batch, as the family's processor makes it."""
        rows = [self.prompt.input_ids(page.shape[0] * page.shape[1] // 784) for page in pages]
        longest = max(map(len, rows))
        ids = np.stack([np.pad(row, (longest - len(row), 0)) for row in rows])
        mask = np.stack([np.pad(np.ones_like(row), (longest - len(row), 0)) for row in rows])
        made = Qwen2VLImageProcessorPil()(
            [Image.fromarray(page) for page in pages], return_tensors="pt", do_resize=False
        )
        inputs = {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy(mask),
            "mm_token_type_ids": torch.from_numpy((ids == self.prompt.image_token_id).astype(np.int64)),
            "pixel_values": made["pixel_values"].to(self.machine.dtype),
            "image_grid_thw": made["image_grid_thw"],
        }
        return {name: tensor.to(self.machine.device) for name, tensor in inputs.items()}

    @torch.inference_mode()
    def _generate(self, pages: Sequence[Pixels], tokens: int) -> None:
        self.model.generate(**self._inputs(pages), max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False)


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _png(pixels: Pixels) -> bytes:
    """A page image in the form that workers read. The service's encoder needs ISA-L, which a bare machine lacks."""
    height, width, _ = pixels.shape
    rows = np.insert(pixels.reshape(height, -1), 0, FILTER_NONE, axis=1)
    chunks = [(b"IHDR", IHDR.pack(width, height, 8, RGB, 0, 0, 0)), (b"IDAT", zlib.compress(rows.tobytes(), 1))]
    written = [
        len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")
        for name, content in chunks
    ]
    return b"".join([SIGNATURE, *written, TRAILER])
