"""The text layer of a page, inside the page's image: one object, so that neither exists without the other.

It is an iTXt chunk of the PNG, compressed, before the pixels (PNG, Third Edition, 11.3.3.4,
https://www.w3.org/TR/png-3/#11iTXt). Extraction writes it; the worker compares what a model writes with it.
"""

import struct
import zlib

#: Of text, in UTF-8. A longer text is not stored at all: compared with half a layer, a correct reading would look
#: invented. Chosen: far more than a page of print.
MAX_BYTES = 64 * 1024

#: Of a whole chunk: text that does not compress, and the chunk's own fields.
MAX_CHUNK_BYTES = MAX_BYTES + 1024

_SIGNATURE_BYTES = 8
_HEAD = struct.Struct(">I4s")
_CRC_BYTES = 4
# The keyword; then: compressed, by deflate, no language tag, no translated keyword.
_PREFIX = b"Text layer\0" + b"\1\0" + b"\0" + b"\0"


def chunk(text: str) -> bytes:
    """The chunk that carries this text; empty for none, and for more than `MAX_BYTES`."""
    text = text.replace("\0", "")
    plain = text.encode("utf-8", "ignore")
    if not text.strip() or len(plain) > MAX_BYTES:
        return b""
    body = _PREFIX + zlib.compress(plain, 1)
    return _HEAD.pack(len(body), b"iTXt") + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(b"iTXt")))


def read(png: bytes) -> str | None:
    """The text in this image; None where there is none, or where it is damaged. Any bytes are accepted."""
    at = _SIGNATURE_BYTES
    while at + _HEAD.size <= len(png):
        length, kind = _HEAD.unpack_from(png, at)
        at += _HEAD.size
        if kind == b"IDAT":
            return None
        if kind == b"iTXt" and length <= MAX_CHUNK_BYTES and png.startswith(_PREFIX, at):
            return _inflate(png[at + len(_PREFIX) : at + length])
        at += length + _CRC_BYTES
    return None


def _inflate(packed: bytes) -> str | None:
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(packed, MAX_BYTES + 1)
        return plain.decode() if inflater.eof and len(plain) <= MAX_BYTES else None
    except (zlib.error, UnicodeDecodeError):
        return None
