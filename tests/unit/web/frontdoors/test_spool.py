"""Members of an answer that grow side by side."""

import pytest

from services.web.frontdoors import spool as module
from services.web.frontdoors.spool import Spool
from tests.unit.web.frontdoors.streamed import whole

pytestmark = pytest.mark.usefixtures("on_disk")


@pytest.fixture(params=[True, False], ids=["on disk", "in memory"])
def on_disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both where the members are held in memory and where they are not."""
    if request.param:
        monkeypatch.setattr(module, "_MAX_HELD_BYTES", 1)


async def test_lists_objects_and_strings_are_what_was_added() -> None:
    with Spool("list", "object", "string", "none") as spool:
        for number in range(3):
            spool.item("list", {"at": number})
            spool.entry("object", f'"{number}"', [number])
            spool.text("string", f'"{number}\n\u2028\\')
        assert await whole(spool.list("list")) == [{"at": 0}, {"at": 1}, {"at": 2}]
        assert await whole(spool.object("object")) == {'"0"': [0], '"1"': [1], '"2"': [2]}
        assert await whole(spool.string("string")) == '"0\n\u2028\\"1\n\u2028\\"2\n\u2028\\'
        assert await whole(spool.list("none")) == []
        assert await whole(spool.object("none")) == {}
        assert await whole(spool.string("none")) == ""
