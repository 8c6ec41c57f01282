"""Turns go round the users: what each has used of this process lately, and who has a seat in it.

The least use goes first, and a user who has used little keeps at most `CREDIT_SECONDS` of precedence: a deficit round
robin whose quantum is that credit. It needs no clock, and forgets every user who has the whole credit.
"""

from collections import Counter

#: Seconds of engine or renderer by which a user may be served ahead of those who have used more. Chosen: some pages, so
#: that a short document is not interrupted, and no user waits long for one who comes back after a pause.
CREDIT_SECONDS = 10.0


class Turns:
    """The accounts and seats of one process. A seat is a piece of work under way for a user."""

    def __init__(self, extra_seats: int) -> None:
        #: Seats beside those of the calls, for users who have none.
        self.extra_seats = extra_seats
        self._used: dict[str, float] = {}
        self._floor = 0.0
        self._seats: Counter[str] = Counter()
        self._guests = 0
        #: The user with the least use of those who have work and no seat; `None` where there is none.
        self.waiting: str | None = None

    def used(self, user: str) -> float:
        """Seconds that `user` has used, as far as they count: only differences between users mean anything."""
        return max(self._floor, self._used.get(user, 0.0))

    def charge(self, user: str, seconds: float) -> None:
        """`user` has used the engine or a renderer for so long."""
        self._used[user] = self.used(user) + max(0.0, seconds)
        self._floor = max(self._floor, self._used[user] - CREDIT_SECONDS)
        self._used = {known: used for known, used in self._used.items() if used > self._floor}

    def has_seat(self, user: str) -> bool:
        """Whether any work is under way for `user`."""
        return self._seats[user] > 0

    @property
    def has_extra_seat(self) -> bool:
        """Whether a guest may be seated."""
        return self._guests < self.extra_seats

    def is_behind(self, user: str) -> bool:
        """Whether a user who waits without a seat has used less than `user`, who has one."""
        return (
            self.waiting is not None and not self.has_seat(self.waiting) and self.used(self.waiting) < self.used(user)
        )

    def sit(self, user: str, *, guest: bool = False) -> None:
        """Give `user` a seat; a `guest` takes one of the extra seats."""
        self._seats[user] += 1
        self._guests += guest

    def leave(self, user: str, *, guest: bool = False) -> None:
        """The work that took the seat has ended."""
        self._guests -= guest
        self._seats[user] -= 1
        if not self._seats[user]:
            del self._seats[user]
