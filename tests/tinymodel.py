"""Small Qwen2.5-VL models with random weights, laid out as the hub's cache lays out real ones.

They read nothing sensible, yet every part of them is the real thing in small: configuration, tokenizer with the
family's special tokens, chat template, image processor's settings, sharded safetensors, generation settings.
"""

import hashlib
import shutil
import string
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

REPOSITORY = "nanonets/Nanonets-OCR-s"
_BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
_STOPS = string.digits + string.punctuation
_SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_model(hub: Path, *, stops: int = 3, seed: int = 0, repository: str = REPOSITORY) -> Path:
    """Write a model into the cache folder `hub`; its snapshot folder.

    It writes ASCII. `stops` is how many of its tokens end a page besides the family's own: with 0 no page ends by
    itself, with 40 every page is short.
    """
    build = hub / "build"
    tokenizer = _tokenizer()
    vocabulary = tokenizer.get_vocab()
    config = _config(vocabulary)
    torch.manual_seed(seed)
    model = Qwen2_5_VLForConditionalGeneration(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            # Wide enough that what a page shows decides which token comes next, and by far more than rounding.
            if weight.ndim > 1:
                weight.normal_(0.0, 0.8 if "embed_tokens" in name else 0.25)
        # A token whose row is zero is never the likeliest: what the model writes is ASCII, and no picture.
        for token, number in vocabulary.items():
            letter = len(token) == 1 and token.isascii() and token.isprintable()
            if not letter and not (stops and token == "<|im_end|>"):
                model.model.language_model.embed_tokens.weight[number] = 0
    family = [vocabulary["<|im_end|>"], vocabulary["<|endoftext|>"]]
    # As the family ships it: settings of sampling that a reader of pages has to override.
    model.generation_config = GenerationConfig(
        bos_token_id=family[1],
        pad_token_id=family[1],
        eos_token_id=[*family, *(vocabulary[letter] for letter in _STOPS[:stops])],
        do_sample=True,
        repetition_penalty=1.05,
        temperature=1e-6,
    )
    model.save_pretrained(build, max_shard_size="300KB")
    tokenizer.save_pretrained(build)
    Qwen2VLImageProcessorPil(min_pixels=56 * 56, max_pixels=28 * 28 * 16384).save_pretrained(build)
    return _as_snapshot(build, hub / f"models--{repository.replace('/', '--')}")


def _tokenizer() -> PreTrainedTokenizerFast:
    bare = Tokenizer(models.BPE({letter: i for i, letter in enumerate(_BYTES)}, []))
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    bare.add_special_tokens([AddedToken(text, special=True) for text in _SPECIAL])
    made = PreTrainedTokenizerFast(
        tokenizer_object=bare, eos_token="<|im_end|>", pad_token="<|endoftext|>", padding_side="left"
    )
    made.chat_template = _TEMPLATE
    return made


def _config(vocabulary: dict[str, int]) -> Qwen2_5_VLConfig:
    ids = {text: vocabulary[text] for text in _SPECIAL}
    return Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(vocabulary),
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            "rms_norm_eps": 1e-6,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0, "mrope_section": [2, 3, 3]},
            "bos_token_id": ids["<|endoftext|>"],
            "eos_token_id": ids["<|im_end|>"],
        },
        vision_config={
            "depth": 3,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "out_hidden_size": 64,
            "fullatt_block_indexes": [1],
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )


def _as_snapshot(build: Path, repository: Path) -> Path:
    """The files as the hub's cache keeps them: blobs by their hash, a snapshot of links, a ref."""
    digest = hashlib.sha256()
    snapshot_parts = []
    (repository / "blobs").mkdir(parents=True)
    for file in sorted(build.iterdir()):
        name = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(name.encode())
        shutil.move(file, repository / "blobs" / name)
        snapshot_parts.append((file.name, name))
    commit = digest.hexdigest()[:40]
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for name, blob in snapshot_parts:
        (snapshot / name).symlink_to(Path("../../blobs") / blob)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    build.rmdir()
    return snapshot
