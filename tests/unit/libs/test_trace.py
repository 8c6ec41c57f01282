"""Trace ids as requests bring them."""

import pytest

from libs import trace

ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"traceparent": f"00-{ID}-00f067aa0ba902b7-01"}, ID),
        ({"traceparent": f"cc-{ID}-00f067aa0ba902b7-01-what-comes-later"}, ID),
        ({"x-cloud-trace-context": f"{ID}/123;o=1"}, ID),
        ({"x-cloud-trace-context": ID}, ID),
        ({"traceparent": "nonsense", "x-cloud-trace-context": f"{ID}/1"}, ID),
        ({}, None),
        ({"traceparent": f"00-{'0' * 32}-00f067aa0ba902b7-01"}, None),
        ({"traceparent": f"00-{ID.upper()}-00f067aa0ba902b7-01"}, None),
        ({"traceparent": f"00-{ID}-00f067aa0ba902b7-01\nevent=forged"}, None),
        ({"x-cloud-trace-context": f"{ID}x"}, None),
    ],
    ids=range(10),
)
def test_valid_id_is_taken_over_and_anything_else_is_not(headers: dict[str, str], found: str | None) -> None:
    assert trace.given(headers) == found


def test_id_holds_inside_the_block_only() -> None:
    with trace.tracing(ID):
        with trace.tracing(""):
            assert trace.current() == ID
        assert trace.current() == ID
    assert trace.current() == ""
    assert trace.new() != trace.new()
