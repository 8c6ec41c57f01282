"""Headers of safetensors files (https://github.com/huggingface/safetensors, "Format"), and the index over several."""

import struct
from pathlib import Path

import msgspec

#: The format's limit.
MAX_HEADER_BYTES = 100_000_000
_LENGTH = struct.Struct("<Q")


class Damaged(Exception):
    """A file does not have the content it should; the message is the rest of a sentence that begins with its name."""


class _Tensor(msgspec.Struct, frozen=True):
    data_offsets: tuple[int, int]


class _Index(msgspec.Struct, frozen=True):
    weight_map: dict[str, str]


def check_size(file: Path) -> None:
    """Raise `Damaged` unless the file is exactly as long as its header says."""
    with file.open("rb") as weights:
        start = weights.read(_LENGTH.size)
        (length,) = _LENGTH.unpack(start) if len(start) == _LENGTH.size else (0,)
        header = weights.read(length) if 0 < length <= MAX_HEADER_BYTES else b""
        size = weights.seek(0, 2)
    if not header or len(header) != length:
        raise Damaged("holds no weights")
    try:
        parts = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
        ends = [
            msgspec.json.decode(part, type=_Tensor).data_offsets[1]
            for name, part in parts.items()
            if name != "__metadata__"
        ]
    except msgspec.MsgspecError as error:
        raise Damaged("holds no weights") from error
    whole = _LENGTH.size + length + max(ends, default=0)
    if size != whole:
        raise Damaged(f"has {size} bytes instead of {whole}")


def shards(index: bytes) -> list[str]:
    """The files of weights that an index names, in order. Raises `Damaged`."""
    try:
        names = set(msgspec.json.decode(index, type=_Index).weight_map.values())
    except msgspec.MsgspecError as error:
        raise Damaged("is no index of weights") from error
    if not names or any("/" in name or name.startswith(".") for name in names):
        raise Damaged("is no index of weights")
    return sorted(names)
