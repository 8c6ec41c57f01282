"""A model of the family, loaded from its folder, without any request to a network."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError
from transformers import AutoConfig, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor
from transformers.models.auto.tokenization_auto import AutoTokenizer
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.processing_utils import ProcessorMixin
from transformers.utils import logging

from services.worker.engines.engine import EngineUnavailable

FAMILY = "qwen2_5_vl"


class ImageOnlyProcessor(Qwen2_5_VLProcessor):
    """The family's processor without its part for videos, which needs torchvision."""

    def __init__(self, image_processor: Any, tokenizer: Any, chat_template: str) -> None:
        self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """A model without its weights."""

    #: A `Qwen2_5_VLConfig`.
    config: Any
    #: Makes pages the model's input.
    processor: ImageOnlyProcessor

    @property
    def parameters(self) -> int:
        """The number of values of its weights; tied ones count once."""
        with torch.device("meta"):
            return int(Qwen2_5_VLForConditionalGeneration(self.config).num_parameters())


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A loaded model."""

    #: A `Qwen2_5_VLForConditionalGeneration`.
    model: Any
    processor: ImageOnlyProcessor
    #: Tokens that end an answer.
    eos_token_ids: frozenset[int]

    def decode(self, tokens: list[int]) -> str:
        """The tokens' text, without special tokens."""
        text = self.processor.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert isinstance(text, str)
        return text


def read_description(folder: Path) -> Description:
    """Read all but the weights of the model in `folder`. Raises `EngineUnavailable`."""
    # transformers would write progress bars and advice to stderr, where the log goes.
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with _loading():
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if config.model_type != FAMILY:
        raise EngineUnavailable(
            f"The model in MODEL_NAME is a {config.model_type}; this engine runs {FAMILY} models (Nanonets-OCR-s, "
            "olmOCR-2-7B and their like). Name one of them, or serve the model elsewhere and set OCR_ENGINE=openai."
        )
    with _loading():
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        tokenizer.padding_side = "left"
        images = Qwen2VLImageProcessorPil.from_pretrained(folder, local_files_only=True)
        processor = ImageOnlyProcessor(images, tokenizer, tokenizer.chat_template or _template_file(folder))
    return Description(config=config, processor=processor)


def load(folder: Path, description: Description, device: torch.device, dtype: torch.dtype) -> Checkpoint:
    """Load the model in `folder`, its weights straight onto `device`. Raises `EngineUnavailable`."""
    with _loading():
        model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
            folder,
            config=description.config,
            dtype=dtype,
            device_map={"": device},
            attn_implementation="sdpa",
            local_files_only=True,
        ).eval()
    eos = model.generation_config.eos_token_id
    listed = [*(eos if isinstance(eos, list) else [eos]), description.processor.tokenizer.eos_token_id]
    eos_token_ids = frozenset(token for token in listed if token is not None)
    return Checkpoint(model=model, processor=description.processor, eos_token_ids=eos_token_ids)


@contextlib.contextmanager
def _loading() -> Iterator[None]:
    """Turns what transformers and safetensors raise for unusable files into `EngineUnavailable`."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise EngineUnavailable(
            "The GPU has too little free memory for the model's weights. Stop what else uses it, or take a larger one."
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        first = (str(error).splitlines() or [""])[0][:200]
        raise EngineUnavailable(
            f"The model's files cannot be loaded ({type(error).__name__}: {first}). "
            "Delete the model from the cache and start again to fetch it anew."
        ) from error


def _template_file(folder: Path) -> str:
    """The chat template from the processor's own file: the family's first checkpoints have it nowhere else."""
    try:
        return str(json.loads((folder / "chat_template.json").read_text())["chat_template"])
    except (OSError, ValueError, KeyError) as error:
        raise ValueError("there is no chat template") from error
