"""The model's work at the real shape, without a GPU: on meta tensors, which have shapes and no contents.

Code that copies a value to the host, mixes devices or types, or does not fit, fails here as it would on a GPU. The
kernels' own demands show on a GPU only.
"""

import re
from collections import Counter
from typing import Any

import msgspec
import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from bench.engine.shapes import FULL
from services.worker.engines.execution import Execution
from services.worker.engines.pixel_limits import PixelLimits
from services.worker.engines.qwen import attention
from services.worker.engines.qwen.attention import SDPA, ChosenAttention
from services.worker.engines.qwen.decoder import Generation
from services.worker.engines.qwen.graphs import StepRunner
from services.worker.engines.qwen.memory import cost
from services.worker.engines.qwen.page import Prompt
from services.worker.engines.qwen.slots import SlotDecoder, _BusySlot
from services.worker.engines.qwen.text import TextTower
from services.worker.engines.qwen.vision import VisionTower
from services.worker.engines.transcriber import Sampling

DEVICE = torch.device("meta")
HEIGHT, WIDTH = 1792, 1288
LIMITS = PixelLimits(min_pixels=56 * 56, max_pixels=HEIGHT * WIDTH)
PROMPT = Prompt(before=(1, 2, 3), after=(4, 5), image_token_id=151655)
LENGTH = HEIGHT * WIDTH // 784 + len(PROMPT)
CAPACITY = LENGTH + 8200
SLOTS = 64
CONFIG: Any = Qwen2_5_VLConfig(**FULL)  # type: ignore[arg-type]
LAYERS = CONFIG.text_config.num_hidden_layers
FLASH = ChosenAttention(kernel="flash", attention=attention.bundled_flash_attention())
REFUSED = msgspec.structs.replace(SDPA, fallback="flash refuses: RuntimeError: no kernel image")


class Work(TorchDispatchMode):
    """Counts operations, the types of what they make, the rows and strides of products, and the most bytes of what they
    made that lived at once."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: Counter[str] = Counter()
        self.types: set[torch.dtype] = set()
        self.products: list[tuple[int, ...]] = []
        self.most_bytes = 0
        self._made: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.names[func.overloadpacket.__name__] += 1
        if func is torch.ops.aten.linear.default:
            self.products.append((args[0].stride(0), args[1].stride(0), args[1].shape[0]))
        if isinstance(made, torch.Tensor):
            assert made.device == DEVICE, func
            self.types.add(made.dtype)
            # Views share a storage, which is theirs alone or a weight's.
            if not any(made.untyped_storage()._cdata == old.untyped_storage()._cdata for old in _tensors(args)):
                storage = made.untyped_storage()
                self._made[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self._made = {key: (ref, size) for key, (ref, size) in self._made.items() if not ref.expired()}
        self.most_bytes = max(self.most_bytes, sum(size for _, size in self._made.values()))
        return made


def _tensors(args: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(args) if isinstance(leaf, torch.Tensor)]


@pytest.fixture(scope="module")
def model() -> Any:
    with DEVICE:
        return Qwen2_5_VLForConditionalGeneration._from_config(CONFIG, dtype=torch.bfloat16).eval()


@pytest.fixture
def decoder(model: Any, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> SlotDecoder:
    choice: ChosenAttention = request.param
    # A trial compares numbers, of which there are none here.
    monkeypatch.setattr(attention, "choose", lambda shape: choice)
    monkeypatch.setattr(StepRunner, "_capture", lambda *_: None)
    return SlotDecoder(
        VisionTower(model.model.visual, mean=(0.5,) * 3, std=(0.5,) * 3),
        TextTower(model, max_tokens=CAPACITY),
        slots=SLOTS,
        capacity=CAPACITY,
        limits=LIMITS,
        prompt=PROMPT,
        eos_token_ids=frozenset(),
        is_loop=lambda tokens: False,
    )


@pytest.mark.parametrize("decoder", [FLASH, SDPA], indirect=True, ids=["flash", "sdpa"])
@pytest.mark.parametrize("batch", [1, SLOTS])
def test_a_step_never_waits_for_the_host_and_stays_in_half_precision(decoder: SlotDecoder, batch: int) -> None:
    with Work() as work, torch.inference_mode():
        decoder._step(batch)
    assert torch.float32 not in work.types
    # Tensors that all layers share are made once.
    assert work.names["arange"] <= 2
    assert sum(work.names.values()) < 40 * LAYERS


@pytest.mark.parametrize("decoder", [FLASH, SDPA, REFUSED], indirect=True, ids=["flash", "sdpa", "refused"])
def test_a_decoder_shows_how_it_computes_and_why(decoder: SlotDecoder, request: pytest.FixtureRequest) -> None:
    choice: ChosenAttention = request.node.callspec.params["decoder"]
    assert decoder.execution == Execution(kernel=choice.kernel, graphs=0, fallback=choice.fallback)


@pytest.mark.parametrize("seed", range(5))
def test_a_token_is_drawn_as_multinomial_draws_one(seed: int) -> None:
    # `multinomial` copies values to the host on its way, which shows on a GPU only.
    logits = torch.linspace(0, 3, 100)
    busy = _BusySlot(Generation(Sampling(max_tokens=8, temperature=0.5, seed=seed)), 1, logits.device)
    theirs = torch.Generator().manual_seed(seed)
    for _ in range(5):
        drawn = torch.multinomial(torch.softmax(logits / 0.5, dim=-1), 1, generator=theirs)
        assert int(busy.sample(logits)) == int(drawn)


@pytest.mark.parametrize("decoder", [FLASH], indirect=True, ids=["flash"])
def test_a_prefill_never_waits_for_the_host(decoder: SlotDecoder) -> None:
    page = torch.empty(HEIGHT, WIDTH, 3, dtype=torch.uint8, device=DEVICE)
    decoder._vision.encode(page)  # the host computes the layout of a page size once
    with Work() as work:
        picture = decoder._vision.encode(page)
        assert picture.shape == (HEIGHT * WIDTH // 784, 2048)
        tokens, positions = (torch.empty(shape, dtype=torch.int64, device=DEVICE) for shape in ((LENGTH,), (3, LENGTH)))
        logits = decoder._text.prefill(tokens, positions, picture, 3, decoder._cache, SLOTS - 1)
    assert logits.shape == (decoder._text.vocab_size,)
    assert logits.dtype == torch.bfloat16
    # Thousands of windows, at most four calls a layer.
    assert work.names["scaled_dot_product_attention"] <= 4 * 32 + LAYERS
    # With room for the kernels' own memory and for fragments that the allocator cannot use.
    planned = cost(CONFIG, weights=0, itemsize=2, visual_tokens=picture.shape[0], prompt_tokens=len(PROMPT)).prefill
    assert 1.5 * work.most_bytes < planned < 3 * work.most_bytes


def test_products_of_the_vision_tower_have_rows_of_a_multiple_of_eight(model: Any) -> None:
    tower = VisionTower(model.model.visual, mean=(0.5,) * 3, std=(0.5,) * 3)
    page = torch.empty(112, 112, 3, dtype=torch.uint8, device=DEVICE)
    tower.encode(page)
    with Work() as work:
        tower.encode(page)
    assert work.products
    assert all(number % 8 == 0 for product in work.products for number in product)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU captures")
def test_where_a_step_cannot_be_captured_it_runs_as_it_is() -> None:
    ran: list[int] = []
    steps = StepRunner(ran.append, slots=4, capture=True)
    steps.run(3)
    assert ran == [3]
    assert steps.graphs == 0
    # The error's type depends on the installed torch: one built for CUDA looks for a driver.
    assert steps.fallback is not None
    assert re.match(r"no CUDA graphs: (RuntimeError|AcceleratorError): .+", steps.fallback)
