"""Of too many connections the one ends first that can be done without, and never one that is being served."""

import resource

import pytest

from services.serving.connections import Connection, Connections, Wait, most_connections


def order(found: Connections, now: float) -> list[Connection]:
    """The connections in the order in which they would be ended."""
    ended = []
    while (connection := found.expendable(now)) is not None:
        ended.append(connection)
        found.remove(connection)
    return ended


def test_a_silent_client_without_a_request_goes_first_and_an_upload_last() -> None:
    found = Connections(10)
    upload, kept, held, served = (found.add(0.0) for _ in range(4))
    with kept.request():
        pass
    with upload.request(), upload.awaited(), served.request():
        assert [each.wait for each in (upload, kept, held, served)] == [
            Wait.BODY,
            Wait.NEXT_REQUEST,
            Wait.FIRST_REQUEST,
            None,
        ]
        assert order(found, 60.0) == [held, kept, upload]
    assert len(found) == 1


def test_who_was_heard_just_now_goes_after_who_is_silent() -> None:
    found = Connections(10)
    slow, new = found.add(0.0), found.add(0.0)
    with slow.request(), slow.awaited():
        found.heard(new, 59.5)
        assert order(found, 60.0) == [slow, new]


def test_the_one_heard_the_longest_ago_goes_first_where_none_is_silent() -> None:
    found = Connections(10)
    first, second, third = (found.add(now) for now in (0.0, 0.1, 0.2))
    found.heard(first, 0.3)
    assert order(found, 0.5) == [second, third, first]


def test_a_request_of_which_another_stream_is_being_served_is_not_cut_off() -> None:
    found = Connections(10)
    connection = found.add(0.0)
    with connection.request(), connection.request(), connection.awaited():
        assert found.expendable(60.0) is None
    assert found.expendable(60.0) is connection


def test_a_connection_that_has_ended_is_not_ended_again() -> None:
    found = Connections(10)
    connection = found.add(0.0)
    with connection.request():
        found.remove(connection)
    found.heard(connection, 1.0)
    assert found.expendable(60.0) is None


@pytest.mark.parametrize(
    ("soft", "most"), [(resource.RLIM_INFINITY, 500), (100_000, 500), (1024, 480), (256, 96), (32, 8)]
)
def test_there_are_fewer_connections_than_descriptors(soft: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, soft))
    assert most_connections(500) == most
