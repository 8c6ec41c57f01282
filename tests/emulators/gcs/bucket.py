"""A bucket: objects by name, each with a generation, strongly consistent because one thread does it all."""

import bisect
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import msgspec

from tests.emulators.gcs.conditions import Conditions
from tests.emulators.gcs.content import Content
from tests.emulators.gcs.refusal import no_object, too_fast

PACE_SECONDS = 1.0


class Object(msgspec.Struct, frozen=True, kw_only=True):
    """One version of an object and what is said about it."""

    name: str
    content: Content
    generation: int
    metageneration: int = 1
    created: datetime
    updated: datetime
    content_type: str = "application/octet-stream"
    metadata: dict[str, str] = {}
    settings: dict[str, str] = {}  # cacheControl and the like, kept as they came
    components: int | None = None


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a listing, and where the next one begins."""

    objects: list[Object]
    prefixes: list[str]
    after: str | None


class Bucket:
    """`paced` is the rule of one write a second to one name; `clock` gives seconds since the epoch."""

    def __init__(self, name: str, *, paced: bool = False, clock: Callable[[], float] = time.time) -> None:
        self.name = name
        self.paced = paced
        self.created = datetime.now(UTC)
        self._clock = clock
        self._objects: dict[str, Object] = {}
        self._names: list[str] = []
        self._written: dict[str, float] = {}
        self._last = 0

    def __contains__(self, name: object) -> bool:
        return name in self._objects

    def get(self, name: str, generation: int | None = None, conditions: Conditions | None = None) -> Object:
        """The object, of this generation if one is named. Raises `Refusal` 404, 412, 304."""
        found = self._objects.get(name)
        if found is None or generation not in (None, found.generation):
            raise no_object(self.name, name)
        if conditions is not None:
            conditions.check(found.generation, found.metageneration, reading=True)
        return found

    def check(self, name: str, conditions: Conditions) -> None:
        """Raise `Refusal` 412 when a write under these conditions would lose now."""
        found = self._objects.get(name)
        conditions.check(found.generation if found else 0, found.metageneration if found else 0)

    def put(
        self,
        name: str,
        content: Content,
        conditions: Conditions,
        *,
        content_type: str = "application/octet-stream",
        metadata: dict[str, str] | None = None,
        settings: dict[str, str] | None = None,
        components: int | None = None,
    ) -> Object:
        """Make a new generation. Raises `Refusal` 412, 429; one that fails by its condition has used up its second."""
        self._pace(name)
        self.check(name, conditions)
        now = self._now()
        self._last = max(int(self._clock() * 1_000_000), self._last + 1)
        made = Object(
            name=name,
            content=content,
            generation=self._last,
            created=now,
            updated=now,
            content_type=content_type,
            metadata=metadata or {},
            settings=settings or {},
            components=components,
        )
        if name not in self._objects:
            bisect.insort(self._names, name)
        # The old content is not closed: a reader may be in the middle of it. It goes with its last reader.
        self._objects[name] = made
        return made

    def patch(self, name: str, conditions: Conditions, **changes: object) -> Object:
        """Change what is said about the object: a new metageneration. Raises `Refusal` 404, 412, 429."""
        found = self.get(name)
        self._pace(name)
        conditions.check(found.generation, found.metageneration)
        changed = msgspec.structs.replace(
            found, metageneration=found.metageneration + 1, updated=self._now(), **changes
        )
        self._objects[name] = changed
        return changed

    def delete(self, name: str, generation: int | None, conditions: Conditions) -> None:
        """Raises `Refusal` 404, 412, 429."""
        found = self.get(name, generation)
        self._pace(name)
        conditions.check(found.generation, found.metageneration)
        del self._objects[name]
        del self._names[bisect.bisect_left(self._names, name)]

    def list(
        self,
        *,
        prefix: str = "",
        delimiter: str = "",
        start: str = "",
        end: str = "",
        after: str | None = None,
        limit: int = 1000,
        trailing: bool = False,
    ) -> Page:
        """Objects, and with a delimiter the prefixes up to it, in the order of their bytes."""
        objects: list[Object] = []
        prefixes: list[str] = []
        last: str | None = None
        for name in self._from(max(prefix, start, after or "")):
            if not name.startswith(prefix) or (end and name >= end):
                break
            if after is not None and (name == after or (_is_folder(after, delimiter) and name.startswith(after))):
                continue
            at = name.find(delimiter, len(prefix)) if delimiter else -1
            folder = name[: at + len(delimiter)] if at >= 0 else ""
            if folder and prefixes and prefixes[-1] == folder and not (trailing and name == folder):
                continue
            if len(objects) + len(prefixes) >= limit:
                return Page(objects=objects, prefixes=prefixes, after=last)
            if folder:
                prefixes.append(folder)
                if trailing and name == folder:
                    objects.append(self._objects[name])
            else:
                objects.append(self._objects[name])
            last = folder or name
        return Page(objects=objects, prefixes=prefixes, after=None)

    def _from(self, least: str) -> Iterator[str]:
        for index in range(bisect.bisect_left(self._names, least), len(self._names)):
            yield self._names[index]

    def _pace(self, name: str) -> None:
        if not self.paced:
            return
        now = self._clock()
        if now - self._written.get(name, -PACE_SECONDS) < PACE_SECONDS:
            raise too_fast(self.name, name)
        self._written[name] = now

    def _now(self) -> datetime:
        return datetime.fromtimestamp(int(self._clock() * 1000) / 1000, UTC)


def _is_folder(text: str, delimiter: str) -> bool:
    return bool(delimiter) and text.endswith(delimiter)
