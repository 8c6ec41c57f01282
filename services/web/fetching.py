"""Documents that users name by their address, fetched from the hosts that `FETCH_HOSTS` allows."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.outbound.client import Resolve, outbound_client
from libs.outbound.fetch import Fetched, NotFetched, fetched
from libs.outbound.rules import Refused, Rules
from services.serving.problem import Problem

#: Seconds to connect, and between two reads. Chosen: a host that is silent for longer has failed.
_SILENT_SECONDS = 30.0


class Fetching:
    """Fetches documents. `seconds`: the longest time for one, from the first request to its last byte."""

    def __init__(self, rules: Rules, *, seconds: float, resolve: Resolve | None = None) -> None:
        self._rules = rules
        self._seconds = seconds
        self._resolve = resolve

    @asynccontextmanager
    async def fetched(self, url: str) -> AsyncIterator[Fetched]:
        """The document at `url`, for `upload.storing.store_document`, which limits its size and type.

        Raises `Problem` 422, also within the block where the document breaks off.
        """
        try:
            self._check(url)
            async with (
                # One for each document: they are rare, and most services fetch none.
                outbound_client(self._rules, seconds=_SILENT_SECONDS, resolve=self._resolve) as client,
                fetched(client, url, seconds=self._seconds) as file,
            ):
                yield file
        except Refused as error:
            raise Problem(
                422, "Address refused", str(error), "Name another address, or send the document itself."
            ) from error
        except NotFetched as error:
            raise Problem(422, "Not fetched", str(error), "Check the address, or send the document itself.") from error

    def _check(self, url: str) -> None:
        if not self._rules.allow_any:
            raise Problem(
                422,
                "Address not fetched",
                "This installation fetches no documents from other servers.",
                f"Send the document itself. The operator can allow hosts by {self._rules.name}.",
            )
        self._rules.target(url)
