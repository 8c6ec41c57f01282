"""What a file is, by its first bytes: its name and the client's `Content-Type` are ignored."""

from enum import StrEnum

#: Bytes from a file's beginning that `file_type` needs. Chosen: above `_PDF_WITHIN` and every signature.
HEAD_BYTES = 2048

# Bytes within which `%PDF-` has to begin (PDF Reference 1.7, appendix H, implementation note 13).
_PDF_WITHIN = 1024


class FileType(StrEnum):
    """A kind of file that can be turned into pages."""

    PDF = "pdf"
    PNG = "png"
    JPEG = "jpeg"
    TIFF = "tiff"
    WEBP = "webp"
    BMP = "bmp"
    GIF = "gif"
    JP2 = "jp2"

    @property
    def media_type(self) -> str:
        """The IANA media type. A bare JPEG 2000 codestream has none; that of its container is used."""
        return "application/pdf" if self is FileType.PDF else f"image/{self.value}"


_SIGNATURES = (
    (b"%PDF-", FileType.PDF),
    (b"\x89PNG\r\n\x1a\n", FileType.PNG),
    (b"\xff\xd8\xff", FileType.JPEG),
    (b"II*\0", FileType.TIFF),
    (b"MM\0*", FileType.TIFF),
    (b"II+\0\x08\0\0\0", FileType.TIFF),  # BigTIFF: 8-byte offsets
    (b"MM\0+\0\x08\0\0", FileType.TIFF),
    (b"GIF87a", FileType.GIF),
    (b"GIF89a", FileType.GIF),
    (b"\0\0\0\x0cjP  \r\n\x87\n", FileType.JP2),
    (b"\xff\x4f\xff\x51", FileType.JP2),  # a bare codestream
)

# Bytes of the DIB headers that exist. The two letters "BM" alone also begin ordinary text.
_DIB_SIZES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})


def file_type(head: bytes) -> FileType | None:
    """The type of a file, from its first `HEAD_BYTES` bytes; `None` for a type that cannot be turned into pages.

    A signature at the start decides. Otherwise `%PDF-` may begin anywhere in the first 1024 bytes, as viewers allow:
    mail gateways and web servers put lines before it.
    """
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return FileType.WEBP
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _DIB_SIZES:
        return FileType.BMP
    if b"%PDF-" in head[: _PDF_WITHIN + len(b"%PDF-") - 1]:
        return FileType.PDF
    return None
