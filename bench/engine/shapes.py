"""The model's shape, and what is run with it: the real ones, and small ones that a CPU gets through."""

import msgspec

FULL = {
    "text_config": {
        "vocab_size": 151936,
        "hidden_size": 2048,
        "intermediate_size": 11008,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128000,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0, "mrope_section": [16, 24, 24]},
    },
    "vision_config": {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": 2048},
    "tie_word_embeddings": True,
}
"""Qwen2.5-VL-3B, and so Nanonets-OCR-s."""

TINY = {
    "text_config": {
        "vocab_size": 400,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0, "mrope_section": [2, 3, 3]},
    },
    "vision_config": {
        "depth": 2,
        "hidden_size": 32,
        # Made even by the fast path, as that of the real shape.
        "intermediate_size": 60,
        "num_heads": 2,
        "out_hidden_size": 64,
        "fullatt_block_indexes": [1],
    },
    "image_token_id": 395,
    "video_token_id": 396,
    "vision_start_token_id": 397,
    "vision_end_token_id": 398,
    "tie_word_embeddings": True,
}


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """What is run: page sides in pixels, answers in tokens, and how many pages of each kind of run.

    `time` is what it takes, as a share of what the full model takes on an H100.
    """

    sides: tuple[tuple[int, int], ...]
    answers: tuple[int, ...]
    batches: tuple[int, ...]
    pages: int
    naive_pages: int
    batched_pages: int
    steps: int
    prompt_tokens: int
    time: float


# A mix of sizes and lengths whose mean is near that of a page of print: about 1,250 tokens.
GPU_SCALE = Scale(
    sides=((1792, 1288), (1288, 1792), (1400, 1008), (1792, 1288)),
    answers=(400, 800, 1100, 1250, 1250, 1500, 1700, 2000),
    batches=(1, 8, 32, 64),
    pages=192,
    naive_pages=2,
    batched_pages=16,
    steps=96,
    prompt_tokens=120,
    time=1.0,
)
CPU_SCALE = Scale(
    sides=((112, 140), (140, 84), (56, 168)),
    answers=(8, 16, 24, 40),
    batches=(1, 4),
    pages=12,
    naive_pages=3,
    batched_pages=4,
    steps=16,
    prompt_tokens=12,
    time=0.02,
)
