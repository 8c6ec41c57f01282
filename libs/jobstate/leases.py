"""The leases of a job, read by one call: each generation once."""

from collections.abc import Mapping
from contextlib import suppress

from libs.fanout import fan_out
from libs.jobstate import lease
from libs.jobstate.lease import Lease, TornLease
from libs.storage.errors import NotFound
from libs.storage.session import SessionFiles
from libs.storage.store import Stat


class Leases:
    """A cache over the listing: a lease is read again only when its generation has changed."""

    def __init__(self, files: SessionFiles) -> None:
        self._files = files
        self._known: dict[str, tuple[int, Lease]] = {}

    async def listed(self) -> dict[str, Stat]:
        """The stored leases' objects, by the leases' names."""
        prefix = self._files.leases_prefix
        return {
            stat.path.removeprefix(prefix).removesuffix(".json"): stat async for stat in self._files.store.list(prefix)
        }

    async def read(self, stats: Mapping[str, Stat]) -> dict[str, Lease]:
        """These leases, without those that are torn or deleted by now."""

        async def read(name: str) -> None:
            with suppress(NotFound, TornLease):
                stored = await self._files.store.read(stats[name].path)
                self._known[name] = stored.generation, lease.decode(stored.data)

        await fan_out(read, (name for name, stat in stats.items() if not self._is_known(name, stat)))
        return {name: self._known[name][1] for name in stats if name in self._known}

    def _is_known(self, name: str, stat: Stat) -> bool:
        return name in self._known and self._known[name][0] == stat.generation
