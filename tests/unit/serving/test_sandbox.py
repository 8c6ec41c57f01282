import pytest

from libs.config import ConfigError
from services.serving import jail, sandbox
from services.serving.jail import Wall


@pytest.fixture
def without_landlock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jail, "missing", lambda: {Wall.LANDLOCK: "the kernel has no Landlock."})


def test_a_missing_wall_refuses_the_start_only_where_all_are_required(without_landlock: None) -> None:
    sandbox.refuse_missing_walls("auto")
    with pytest.raises(ConfigError, match="SANDBOX=require, and landlock is missing: the kernel has no Landlock"):
        sandbox.refuse_missing_walls("require")


def test_the_report_names_every_wall_and_what_is_missing(without_landlock: None) -> None:
    assert sandbox.report() == {"landlock": "the kernel has no Landlock.", "seccomp": "ok"}


def test_a_jail_without_a_wall_is_made_of_the_others(without_landlock: None) -> None:
    assert jail.supported() == {Wall.SECCOMP}
