"""Whose turn it is: accounts and seats."""

from libs.jobstate.turns import CREDIT_SECONDS, Turns


def test_user_who_comes_late_has_the_credit_and_no_more() -> None:
    turns = Turns(0)
    turns.charge("a", 1000)
    assert turns.used("a") - turns.used("b") == CREDIT_SECONDS
    turns.charge("b", CREDIT_SECONDS + 1)
    assert turns.used("b") > turns.used("a")


def test_user_who_was_away_is_not_ahead_of_one_who_has_never_come() -> None:
    turns = Turns(0)
    turns.charge("a", 5)
    turns.charge("b", 1000)
    assert turns.used("a") == turns.used("c")


def test_first_user_of_all_has_used_nothing_that_counts_against_the_second() -> None:
    turns = Turns(0)
    turns.charge("a", 3)
    assert turns.used("b") == 0


def test_user_yields_only_to_one_who_has_used_less_and_has_no_seat() -> None:
    turns = Turns(0)
    turns.sit("a")
    turns.charge("a", 5)
    assert not turns.is_behind("a"), "no user waits"
    turns.waiting = "b"
    assert turns.is_behind("a")
    turns.sit("b")
    assert not turns.is_behind("a"), "the user who waited has a seat"
    turns.leave("b")
    turns.charge("b", 6)
    assert not turns.is_behind("a"), "the user who waits has used more"


def test_extra_seats_are_for_guests_and_are_given_back() -> None:
    turns = Turns(1)
    turns.sit("a")
    assert turns.has_extra_seat
    turns.sit("b", guest=True)
    assert not turns.has_extra_seat
    turns.leave("b", guest=True)
    assert turns.has_extra_seat
    assert not turns.has_seat("b")


def test_seats_of_one_user_are_counted() -> None:
    turns = Turns(0)
    turns.sit("a")
    turns.sit("a")
    turns.leave("a")
    assert turns.has_seat("a")
