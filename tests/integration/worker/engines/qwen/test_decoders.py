"""The fast decoder against the reference: the same tokens, with small models of the family's real classes."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.worker.engines.engine import EngineUnavailable
from services.worker.engines.picture import Pixels
from services.worker.engines.pixel_limits import PixelLimits
from services.worker.engines.qwen import checkpoint as checkpoints
from services.worker.engines.qwen.checkpoint import Checkpoint
from services.worker.engines.qwen.decoder import Decoder, Generation, IsLoop
from services.worker.engines.qwen.memory import STEPS_PER_POLL
from services.worker.engines.qwen.page import make_prompt
from services.worker.engines.qwen.reference import ReferenceDecoder
from services.worker.engines.qwen.slots import SlotDecoder
from services.worker.engines.qwen.text import TextTower
from services.worker.engines.qwen.vision import VisionTower
from services.worker.engines.transcriber import Ending, Sampling, Untranscribable
from tests.tinymodel import make_model

LIMITS = PixelLimits(min_pixels=56 * 56, max_pixels=120 * 28 * 28)
REQUEST = "Read the page."
MAX_TOKENS = 60
CAPACITY = LIMITS.max_visual_tokens + 64 + MAX_TOKENS + STEPS_PER_POLL


def never(tokens: list[int]) -> bool:
    return False


class Workshop:
    """A loaded model and its decoders."""

    def __init__(self, folder: Path) -> None:
        description = checkpoints.read_description(folder)
        self.checkpoint: Checkpoint = checkpoints.load(folder, description, torch.device("cpu"), torch.float32)
        self.prompt = make_prompt(description.processor, REQUEST)
        images = description.processor.image_processor
        self.vision = VisionTower(self.checkpoint.model.model.visual, mean=images.image_mean, std=images.image_std)
        self.text = TextTower(self.checkpoint.model, max_tokens=CAPACITY)

    def reference(self, is_loop: IsLoop = never) -> ReferenceDecoder:
        return ReferenceDecoder(self.checkpoint, prompt=REQUEST, limits=LIMITS, is_loop=is_loop)

    def slots(self, slots: int, is_loop: IsLoop = never) -> SlotDecoder:
        return SlotDecoder(
            self.vision,
            self.text,
            slots=slots,
            capacity=CAPACITY,
            limits=LIMITS,
            prompt=self.prompt,
            eos_token_ids=self.checkpoint.eos_token_ids,
            is_loop=is_loop,
        )


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    torch.set_num_threads(1)
    return Workshop(make_model(tmp_path_factory.mktemp("hub"), stops=1))


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A model that hardly ever ends a page."""
    return Workshop(make_model(tmp_path_factory.mktemp("hub"), stops=0))


def made(height: int, width: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


# Of every shape that windows come in: whole, cut off at one edge, at the other, at both, and a single one.
PAGES = [
    made(height, width, seed)
    for seed, (height, width) in enumerate(
        [(224, 224), (150, 333), (333, 150), (60, 60), (300, 280), (112, 500), (97, 141), (250, 251), (140, 112)]
    )
]


def read(decoder: Decoder, pages: Sequence[Pixels], sampling: Callable[[int], Sampling]) -> list[Generation]:
    """Every page through the decoder, in order, each admitted as soon as a slot is free."""
    waiting, written = list(range(len(pages))), {}
    numbers: dict[Generation, int] = {}
    while waiting or numbers:
        while waiting and decoder.free_slots:
            number = waiting.pop(0)
            page = decoder.prepare(pages[number], sampling(number))
            numbers[decoder.admit(page, sampling(number))] = number
        for generation in decoder.advance():
            written[numbers.pop(generation)] = generation
    return [written[number] for number in range(len(pages))]


def greedy(number: int) -> Sampling:
    return Sampling(max_tokens=MAX_TOKENS)


def outcomes(generations: Sequence[Generation]) -> list[tuple[list[int], Ending | None]]:
    return [(generation.tokens, generation.ending) for generation in generations]


@pytest.fixture(scope="module")
def expected(workshop: Workshop) -> list[tuple[list[int], Ending | None]]:
    found = outcomes(read(workshop.reference(), PAGES, greedy))
    # Otherwise decoders that end every page alike would pass the comparison.
    assert {ending for _, ending in found} == {Ending.STOP, Ending.LENGTH}
    assert len({len(tokens) for tokens, _ in found}) > len(PAGES) / 2
    return found


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(len(PAGES))), slots=st.integers(1, len(PAGES) + 1))
def test_every_page_gets_the_tokens_of_the_reference_whatever_is_in_the_other_slots(
    workshop: Workshop, expected: list[tuple[list[int], Ending | None]], order: list[int], slots: int
) -> None:
    written = read(workshop.slots(slots), [PAGES[number] for number in order], greedy)
    assert outcomes(written) == [expected[number] for number in order]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pauses=st.lists(st.integers(0, 4), min_size=len(PAGES), max_size=len(PAGES)))
def test_pages_that_arrive_while_others_are_written_change_nothing(
    workshop: Workshop, expected: list[tuple[list[int], Ending | None]], pauses: list[int]
) -> None:
    decoder = workshop.slots(4)
    admitted: list[Generation] = []
    for page, pause in zip(PAGES, pauses, strict=True):
        for _ in range(pause):
            decoder.advance()
        while not decoder.free_slots:
            decoder.advance()
        admitted.append(decoder.admit(decoder.prepare(page, greedy(0)), greedy(0)))
    while decoder.free_slots < decoder.slots:
        decoder.advance()
    assert outcomes(admitted) == expected


@pytest.mark.parametrize("scale", [0.8, 1.1])
def test_a_page_shown_at_another_size_reads_as_the_reference_reads_it(workshop: Workshop, scale: float) -> None:
    def sampling(number: int) -> Sampling:
        return Sampling(max_tokens=MAX_TOKENS, scale=scale)

    assert outcomes(read(workshop.slots(3), PAGES, sampling)) == outcomes(read(workshop.reference(), PAGES, sampling))


def test_a_page_takes_as_many_tokens_as_it_may(endless: Workshop) -> None:
    decoders: list[Decoder] = [endless.reference(), endless.slots(3)]
    for decoder in decoders:
        written = read(decoder, PAGES[:4], lambda number: Sampling(max_tokens=number * 9 + 1))
        assert [(len(generation.tokens), generation.ending) for generation in written] == [
            (number * 9 + 1, Ending.LENGTH) for number in range(4)
        ]


def test_a_loop_is_stopped_and_its_neighbours_are_not(endless: Workshop) -> None:
    # The first page's answer counts as a loop.
    first = read(endless.reference(), PAGES[:1], greedy)[0].tokens

    def is_loop(tokens: list[int]) -> bool:
        return len(tokens) >= 32 and tokens == first[: len(tokens)]

    decoders: list[Decoder] = [endless.reference(is_loop), endless.slots(3, is_loop)]
    for decoder in decoders:
        looped, *others = read(decoder, PAGES[:3], greedy)
        assert (len(looped.tokens), looped.ending) == (32, Ending.LOOP)
        assert {generation.ending for generation in others} == {Ending.LENGTH}


def test_a_cancelled_page_frees_its_slot_and_no_other(
    workshop: Workshop, expected: list[tuple[list[int], Ending | None]]
) -> None:
    decoder = workshop.slots(2)
    unwanted, wanted = (decoder.admit(decoder.prepare(page, greedy(0)), greedy(0)) for page in (PAGES[1], PAGES[4]))
    unwanted.cancelled = True
    assert decoder.advance() == [unwanted]
    assert decoder.free_slots == 1
    instead = decoder.admit(decoder.prepare(PAGES[0], greedy(0)), greedy(0))
    while decoder.free_slots < 2:
        decoder.advance()
    assert outcomes([wanted, instead]) == [expected[4], expected[0]]


def test_a_cancelled_page_in_the_reference_is_not_written_to_its_end(endless: Workshop) -> None:
    decoder = endless.reference()
    sampling = Sampling(max_tokens=100_000)
    generation = decoder.admit(decoder.prepare(PAGES[0], sampling), sampling)
    generation.cancelled = True
    assert decoder.advance() == [generation]
    assert generation.ending is None


def test_a_sampled_page_depends_on_its_seed_and_not_on_the_other_slots(workshop: Workshop) -> None:
    def sampled(seed: int) -> Callable[[int], Sampling]:
        return lambda number: Sampling(max_tokens=30, temperature=1.0 if number == 1 else 0.0, seed=seed)

    crowded = read(workshop.slots(5), PAGES[:5], sampled(7))
    alone = read(workshop.slots(1), PAGES[:5], sampled(7))
    otherwise = read(workshop.slots(5), PAGES[:5], sampled(8))
    assert outcomes(crowded) == outcomes(alone)
    assert outcomes(crowded)[1] != outcomes(otherwise)[1]
    assert [outcome for n, outcome in enumerate(outcomes(otherwise)) if n != 1] == [
        outcome for n, outcome in enumerate(outcomes(crowded)) if n != 1
    ]


def test_the_reference_samples_by_its_seed_too(workshop: Workshop) -> None:
    def sampled(seed: int) -> list[int]:
        return read(workshop.reference(), PAGES[:1], lambda _: Sampling(max_tokens=30, temperature=1.0, seed=seed))[
            0
        ].tokens

    assert sampled(1) == sampled(1) != sampled(2)


def test_a_page_of_extreme_shape_is_refused_with_advice(workshop: Workshop) -> None:
    decoders: list[Decoder] = [workshop.reference(), workshop.slots(1)]
    for decoder in decoders:
        with pytest.raises(Untranscribable, match="Cut it into pages"):
            decoder.prepare(made(10, 2100), greedy(0))


def test_a_damaged_model_says_what_to_do(tmp_path: Path) -> None:
    folder = make_model(tmp_path)
    description = checkpoints.read_description(folder)
    shard = sorted(folder.glob("*.safetensors"))[1].resolve()
    shard.write_bytes(shard.read_bytes()[:-1000])
    with pytest.raises(EngineUnavailable, match="Delete the model from the cache"):
        checkpoints.load(folder, description, torch.device("cpu"), torch.float32)


def test_a_model_of_another_family_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(EngineUnavailable, match="llama"):
        checkpoints.read_description(tmp_path)


def test_an_old_checkpoint_has_its_template_beside_the_tokenizer(tmp_path: Path) -> None:
    folder = make_model(tmp_path)
    today = make_prompt(checkpoints.read_description(folder).processor, REQUEST)
    template = folder / "chat_template.jinja"
    text = template.read_text()
    template.unlink()
    (folder / "chat_template.json").write_bytes(b'{"chat_template": %s}' % json.dumps(text).encode())
    assert make_prompt(checkpoints.read_description(folder).processor, REQUEST) == today
    (folder / "chat_template.json").unlink()
    with pytest.raises(EngineUnavailable, match="no chat template"):
        checkpoints.read_description(folder)
