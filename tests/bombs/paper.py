"""PDFs written object by object, so that they can be as wrong as one likes."""

import zlib


class Pdf:
    """A PDF written object by object, so that it can be as wrong as one likes."""

    def __init__(self) -> None:
        self._objects: dict[int, bytes] = {}

    def put(self, number: int, body: bytes) -> "Pdf":
        """Object `number`."""
        self._objects[number] = body
        return self

    def stream(self, number: int, data: bytes, entries: bytes = b"") -> "Pdf":
        """Object `number`, a stream."""
        return self.put(number, b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(data), entries, data))

    def page(self, content: bytes = b"", entries: bytes = b"", box: bytes = b"0 0 200 200") -> "Pdf":
        """The usual frame: catalog 1, page tree 2, one page 3 with its content 4."""
        self.put(1, b"<< /Type /Catalog /Pages 2 0 R >>")
        self.put(2, b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>")
        self.put(3, b"<< /Type /Page /Parent 2 0 R /MediaBox [%s] /Contents 4 0 R %s >>" % (box, entries))
        return self.stream(4, content)

    def data(self) -> bytes:
        """The file, with a sound cross-reference table."""
        out = bytearray(b"%PDF-1.7\n")
        offsets = {}
        for number, body in self._objects.items():
            offsets[number] = len(out)
            out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
        start, size = len(out), max(self._objects) + 1
        out += b"xref\n0 %d\n0000000000 65535 f \n" % size
        for number in range(1, size):
            out += b"%010d 00000 n \n" % offsets[number] if number in offsets else b"0000000000 00000 f \n"
        return bytes(out + b"trailer\n<< /Root 1 0 R /Size %d >>\nstartxref\n%d\n%%%%EOF\n" % (size, start))


def deflated(megabytes: int, piece: bytes) -> bytes:
    """`piece` again and again, deflated: one block, flushed, and then its bytes repeated. The checksum is wrong."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(piece * (2**20 // len(piece))) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x78\xda" + block * megabytes + b"\x03\x00" + bytes(4)
