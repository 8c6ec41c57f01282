"""Files that users store and have read later."""

from collections.abc import AsyncIterator

import pytest

from libs.storage.errors import Unavailable
from libs.storage.memory import MemoryStore
from services.web.auth.user import user_of
from services.web.userfiles import UserFiles


class CutOff(MemoryStore):
    """A store whose answer to the last write of a file does not arrive."""

    async def write(self, path: str, data: bytes | AsyncIterator[bytes], *, if_generation: int | None = None) -> int:
        generation = await super().write(path, data, if_generation=if_generation)
        if path.endswith("about.json"):
            raise Unavailable("The connection broke.")
        return generation


async def test_nothing_stays_of_a_file_whose_last_write_was_done_but_not_confirmed() -> None:
    store = CutOff()

    async def content() -> AsyncIterator[bytes]:
        yield b"%PDF-1.7"

    with pytest.raises(Unavailable):
        await UserFiles(store).save(user_of("ada@example.org"), content(), filename=None, media_type="application/pdf")
    assert [stat.path async for stat in store.list("")] == []
