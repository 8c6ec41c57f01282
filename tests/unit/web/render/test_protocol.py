"""What a render child sends is accepted only where the protocol allows it."""

import pytest

from services.web.render.protocol import (
    MAX_PIECE_BYTES,
    MAX_SMALL_PAYLOAD,
    BadFrame,
    DocumentOpened,
    Fault,
    FrameKind,
    RenderLimits,
    decode_fault,
    decode_header,
    decode_opened,
    encode_fault,
    encode_header,
    encode_opened,
)

LIMITS = RenderLimits(max_pages=10, max_pixels=100, max_side=100)


@pytest.mark.parametrize("kind", FrameKind)
def test_a_header_returns_what_was_encoded_up_to_the_longest_payload_of_its_kind(kind: FrameKind) -> None:
    longest = {FrameKind.PAGE: LIMITS.max_png_bytes, FrameKind.PIECE: MAX_PIECE_BYTES}.get(kind, MAX_SMALL_PAYLOAD)
    assert decode_header(encode_header(kind, 7, longest), LIMITS) == (kind, 7, longest)
    with pytest.raises(BadFrame):
        decode_header(encode_header(kind, 7, longest + 1), LIMITS)


def test_a_header_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(BadFrame, match="unknown kind 9"):
        decode_header(b"\x09" + bytes(8), LIMITS)


@pytest.mark.parametrize(("pages", "valid"), [(0, False), (1, True), (10, True), (11, False), (-3, False)])
def test_a_document_has_at_least_one_page_and_no_more_than_the_limit(pages: int, valid: bool) -> None:
    opened = DocumentOpened(total_pages=pages, repaired=True)
    if valid:
        assert decode_opened(encode_opened(opened), LIMITS) == opened
    else:
        with pytest.raises(BadFrame, match=f"of {pages} pages"):
            decode_opened(encode_opened(opened), LIMITS)


@pytest.mark.parametrize("payload", [b"", b"{}", b"\xff", b'{"total_pages": "1", "repaired": false}', b"[" * 1000])
def test_a_payload_that_is_no_document_is_refused(payload: bytes) -> None:
    with pytest.raises(BadFrame):
        decode_opened(payload, LIMITS)


@pytest.mark.parametrize("fault", Fault)
def test_a_fault_crosses_as_its_code(fault: Fault) -> None:
    assert decode_fault(encode_fault(fault)) is fault


@pytest.mark.parametrize("payload", [b"", b"page_damaged", b"Call 555-0100 to unlock your document.", b"\xc3\xa4"])
def test_a_text_in_place_of_a_code_is_refused(payload: bytes) -> None:
    with pytest.raises(BadFrame):
        decode_fault(payload)
