"""Models that are whole by their files, and hold next to nothing."""

import json
import random
import struct
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = "nanonets/Nanonets-OCR-s"

Files = dict[str, bytes]


def weights(size: int, *, seed: int = 0) -> bytes:
    """A file of weights: one tensor of `size` bytes."""
    tensor = {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}
    header = json.dumps({"__metadata__": {"format": "pt"}, f"tensor.{seed}": tensor}).encode()
    return struct.pack("<Q", len(header)) + header + random.Random(seed).randbytes(size)


def made(*, shards: int = 2, shard_bytes: int = 50_000) -> Files:
    """The files of a model; with one shard there is no index, as makers do it."""
    files = {
        "config.json": b'{"model_type": "made_up"}',
        "tokenizer_config.json": b"{}",
        "tokenizer.json": json.dumps({"model": {"vocab": {str(n): n for n in range(500)}}}).encode(),
        "preprocessor_config.json": b'{"patch_size": 14}',
        "chat_template.jinja": b"{{ messages }}",
        "README.md": b"# Of no use to an engine",
        "picture.png": b"nor this",
    }
    if shards == 1:
        return files | {"model.safetensors": weights(shard_bytes)}
    names = [f"model-{number:05}-of-{shards:05}.safetensors" for number in range(1, shards + 1)]
    index = {"metadata": {}, "weight_map": {f"tensor.{number}": name for number, name in enumerate(names)}}
    files["model.safetensors.index.json"] = json.dumps(index).encode()
    return files | {name: weights(shard_bytes, seed=number) for number, name in enumerate(names)}


def place(root: Path, files: Files, *, name: str = NAME, revision: str = "main", linked: bool = True) -> Path:
    """Put a model into a cache as the hub's library would, or as plain files; the snapshot's folder."""
    home = root / "hub" / f"models--{name.replace('/', '--')}"
    folder = home / "snapshots" / COMMIT
    for part in (folder, home / "blobs", (home / "refs" / revision).parent):
        part.mkdir(parents=True, exist_ok=True)
    for number, (file, data) in enumerate(files.items()):
        if linked:
            blob = home / "blobs" / f"{number:040x}"
            blob.write_bytes(data)
            (folder / file).symlink_to(f"../../blobs/{blob.name}")
        else:
            (folder / file).write_bytes(data)
    (home / "refs" / revision).write_text(COMMIT)
    return folder
