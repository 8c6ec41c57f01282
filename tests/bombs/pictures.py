"""Image files that lie about their size, or hold more than one believes."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from services.web.render.png import encode_png
from tests.bombs.bomb import LIMITED, Makers
from tests.bombs.paper import deflated


def saved(image: Image.Image, format_name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


SIDE = 50_000
SMALL = Image.new("RGB", (64, 48), "red")


def huge_png() -> bytes:
    """IHDR, with its checksum."""
    data = bytearray(encode_png(np.zeros((4, 4), np.uint8)))
    data[16:24] = struct.pack(">II", SIDE, SIDE)
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


def huge_jpeg() -> bytes:
    """The frame header."""
    data = bytearray(saved(SMALL, "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", SIDE, SIDE)
    return bytes(data)


def huge_tiff() -> bytes:
    """The tags of width and height."""
    data = bytearray(saved(SMALL, "TIFF"))
    for tag in (256, 257):
        at = data.index(
            struct.pack("<HH", tag, 4) if struct.pack("<HH", tag, 4) in data else struct.pack("<HH", tag, 3)
        )
        data[at : at + 12] = struct.pack("<HHII", tag, 4, 1, SIDE)
    return bytes(data)


def huge_webp() -> bytes:
    """The canvas of an extended file."""
    body = saved(SMALL, "WEBP", lossless=True)[12:]
    canvas = b"VP8X" + struct.pack("<I", 10) + bytes(4) + 2 * (SIDE - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", 4 + len(canvas) + len(body)) + b"WEBP" + canvas + body


def huge_bmp() -> bytes:
    """The header."""
    data = bytearray(saved(SMALL, "BMP"))
    data[18:26] = struct.pack("<ii", SIDE, SIDE)
    return bytes(data)


def huge_gif() -> bytes:
    """The screen, and the frame on it."""
    data = bytearray(saved(SMALL, "GIF"))
    data[6:10] = struct.pack("<HH", SIDE, SIDE)
    at = data.index(b"\x2c\0\0\0\0") + 5
    data[at : at + 4] = struct.pack("<HH", SIDE, SIDE)
    return bytes(data)


def huge_jp2() -> bytes:
    """The image header box and the codestream's size."""
    data = bytearray(saved(SMALL, "JPEG2000"))
    at = data.index(b"ihdr") + 4
    data[at : at + 8] = struct.pack(">II", SIDE, SIDE)
    at = data.index(b"\xff\x51") + 6
    data[at : at + 8] = struct.pack(">II", SIDE, SIDE)
    return bytes(data)


def tiff_loop() -> bytes:
    """The second frame says that the first comes next."""
    data = bytearray(saved(SMALL, "TIFF", save_all=True, append_images=[SMALL, SMALL]))
    first = struct.unpack_from("<I", data, 4)[0]

    def link(at: int) -> int:
        return at + 2 + 12 * int(struct.unpack_from("<H", data, at)[0])

    second = struct.unpack_from("<I", data, link(first))[0]
    struct.pack_into("<I", data, link(second), first)
    return bytes(data)


def tiff_of_itself() -> bytes:
    """The first frame says that it comes next."""
    data = bytearray(saved(SMALL, "TIFF"))
    first = struct.unpack_from("<I", data, 4)[0]
    struct.pack_into("<I", data, first + 2 + 12 * int(struct.unpack_from("<H", data, first)[0]), first)
    return bytes(data)


def png_text_bomb() -> bytes:
    """A comment that inflates to two gigabytes, before the picture."""
    picture = encode_png(np.full((8, 8), 7, np.uint8))
    body = b"Comment\0\0" + deflated(2_000, b"x")
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    return picture[:33] + chunk + picture[33:]


def png_pixel_bomb() -> bytes:
    """A small picture whose data inflate to two gigabytes."""
    picture = encode_png(np.zeros((8, 8), np.uint8))
    body = deflated(2_000, b"\0")
    chunk = struct.pack(">I", len(body)) + b"IDAT" + body + struct.pack(">I", zlib.crc32(b"IDAT" + body))
    return picture[:33] + chunk + picture[-12:]


def gif_of_many_frames() -> bytes:
    """Ten thousand frames."""
    data = saved(SMALL, "GIF")
    frame = data[data.index(b"\x2c\0\0\0\0") : -1]
    return data[:-1] + frame * 10_000 + b";"


def _chunk(kind: bytes, body: bytes) -> bytes:
    """A PNG chunk, with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_profile_bomb() -> bytes:
    """A colour profile that inflates to two gigabytes, and a text that does."""
    picture = encode_png(np.full((8, 8), 7, np.uint8))
    profile = _chunk(b"iCCP", b"sRGB\0\0" + deflated(2_000, b"x"))
    text = _chunk(b"iTXt", b"Comment\0\1\0\0\0" + deflated(1_000, b"x"))
    return picture[:33] + profile + text + picture[33:]


def png_of_many_frames() -> bytes:
    """An animation that says it has two billion frames."""
    picture = encode_png(np.full((8, 8), 7, np.uint8))
    return picture[:33] + _chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)) + picture[33:]


def tall_png() -> bytes:
    """One pixel wide, two billion high."""
    data = bytearray(encode_png(np.zeros((4, 4), np.uint8)))
    data[16:24] = struct.pack(">II", 1, 2**31 - 1)
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


def largest_png() -> bytes:
    """As many grey pixels as may be decoded, all black: six hundred megabytes out of six hundred kilobytes."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", 25_000, 25_000, 8, 0, 0, 0, 0))
    body = deflated(610, b"\0")[:-6]  # a little more than needed, and never ended
    return b"\x89PNG\r\n\x1a\n" + header + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def jpeg_of_scans() -> bytes:
    """A progressive JPEG of 4,000 x 4,000 pixels that paints itself a thousand times."""
    noisy = Image.fromarray(np.random.default_rng(5).integers(0, 255, (500, 500), np.uint8)).resize((4_000, 4_000))
    data = saved(noisy, "JPEG", progressive=True, quality=5)
    first = data.index(b"\xff\xda")
    second = data.index(b"\xff\xda", first + 2)
    return data[:second] + b"\xff\xda\x00\x08\x01\x01\x00\x01\x05\x02" * 1_000 + data[second:]


def exif_loop() -> bytes:
    """EXIF directories that lead to each other, and one of 65,535 entries that are not there."""
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 0x8769, 4, 1, 8, 8)
    lying = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + struct.pack("<HHII", 0x0112, 2, 2**32 - 1, 2**32 - 1)
    data = saved(SMALL, "JPEG")
    segments = b"".join(b"\xff\xe1" + struct.pack(">H", len(part) + 2) + part for part in (exif, lying))
    return data[:2] + segments + data[2:]


def tiff_of_many_frames() -> bytes:
    """A hundred thousand frames, each a directory over the same strip."""
    data = saved(Image.new("L", (8, 8)), "TIFF")
    first = int(struct.unpack_from("<I", data, 4)[0])
    size = 2 + 12 * int(struct.unpack_from("<H", data, first)[0])
    out, start = bytearray(data), len(data) + len(data) % 2
    out += bytes(start - len(data))
    struct.pack_into("<I", out, first + size, start)
    for number in range(100_000):
        out += data[first : first + size] + struct.pack("<I", start + (number + 1) * (size + 4))
    return bytes(out) + bytes(4)


def tiff_strip_bomb() -> bytes:
    """Deflated strips that inflate to far more than the picture has."""
    data = saved(Image.new("L", (1_000, 1_000)), "TIFF", compression="tiff_adobe_deflate")
    packed, count = deflated(2_000, b"\0"), struct.pack("<HH", 279, 4)
    out, at = bytearray(data), data.index(count)
    struct.pack_into("<HHII", out, at, 279, 4, 1, len(packed))
    offset = data.index(struct.pack("<HH", 273, 4))
    struct.pack_into("<HHII", out, offset, 273, 4, 1, len(data))
    return bytes(out) + packed


def webp_of_many_frames() -> bytes:
    """An animation of ten thousand frames."""
    body = saved(SMALL, "WEBP", lossless=True)[12:]
    where = bytes(6) + (63).to_bytes(3, "little") + (47).to_bytes(3, "little") + bytes(4)
    frame = b"ANMF" + struct.pack("<I", len(where) + len(body)) + where + body
    canvas = b"VP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + (63).to_bytes(3, "little") + (47).to_bytes(3, "little")
    whole = b"WEBP" + canvas + b"ANIM" + struct.pack("<I", 6) + bytes(6) + frame * 10_000
    return b"RIFF" + struct.pack("<I", len(whole)) + whole


def bmp_of_runs() -> bytes:
    """Run lengths: twenty thousand pixels each way out of nothing."""
    header = struct.pack("<IiiHHIIiiII", 40, 20_000, 20_000, 1, 8, 1, 0, 0, 0, 256, 0)
    pixels = b"\xff\1" * 100_000
    start = 14 + len(header) + 1024
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + header + bytes(1024) + pixels


def gif_of_runs() -> bytes:
    """A frame that begins far outside the screen, and is larger than it."""
    data = bytearray(saved(SMALL, "GIF"))
    at = data.index(b"\x2c\0\0\0\0") + 1
    data[at : at + 8] = struct.pack("<HHHH", 65_535, 65_535, 65_535, 65_535)
    return bytes(data)


def jp2_of_tiles() -> bytes:
    """Thirty thousand pixels each way, in tiles of one pixel."""
    data = bytearray(saved(Image.new("L", (64, 48)), "JPEG2000"))
    at = data.index(b"ihdr") + 4
    data[at : at + 8] = struct.pack(">II", 30_000, 20_000)
    at = data.index(b"\xff\x51") + 6
    data[at : at + 32] = struct.pack(">IIIIIIII", 30_000, 20_000, 0, 0, 1, 1, 0, 0)
    return bytes(data)


MAKERS: Makers = (
    (huge_png, "more pixels"),
    (tall_png, "more pixels"),
    (huge_jpeg, f"rendered|damaged|{LIMITED}"),  # it can be decoded at an eighth of each side
    (huge_tiff, "more pixels"),
    (huge_webp, "more pixels|damaged"),
    (huge_bmp, "more pixels"),
    (huge_gif, "more pixels"),
    (huge_jp2, "more pixels"),
    (jp2_of_tiles, f"more pixels|damaged|{LIMITED}"),
    (tiff_loop, "rendered"),
    (tiff_of_itself, "rendered"),
    (tiff_of_many_frames, "too many pages"),
    (tiff_strip_bomb, f"rendered|damaged|{LIMITED}"),
    (png_text_bomb, "rendered|damaged"),
    (png_pixel_bomb, "rendered|damaged"),
    (png_profile_bomb, "rendered|damaged"),
    (png_of_many_frames, "rendered|damaged"),
    (largest_png, f"rendered|damaged|{LIMITED}"),
    (jpeg_of_scans, f"rendered|damaged|{LIMITED}"),
    (exif_loop, "rendered|damaged"),
    (gif_of_many_frames, "rendered"),
    (gif_of_runs, "more pixels|rendered|damaged"),
    (webp_of_many_frames, "rendered"),
    (bmp_of_runs, "more pixels|damaged"),
)
