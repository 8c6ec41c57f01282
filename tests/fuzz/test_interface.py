"""A short run of the fuzzer, the same each time; `make fuzz` is the long one."""

from collections.abc import Iterator

import pytest

from services.web.frontdoors.doors import DOORS
from tests.fuzz.interface import FOREIGN_LABELS, LABELS, SCRIPT, SETTINGS, Target, operations, target
from tests.running import Running, running

CASES = 400

# Hypothesis takes it for a strategy's doing when any thread of this process draws from `random` meanwhile, and another
# test's emulator may still have one.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("fuzz"), script=SCRIPT, **SETTINGS) as found:
        yield found


@pytest.fixture(scope="module")
def hit(services: Running) -> Target:
    return target(services)


def test_every_front_door_is_fuzzed() -> None:
    routes = [route for door in DOORS for route in door.routes]
    served = {f"{method} {route.path}" for route in routes for method in route.methods or () if method != "HEAD"}
    assert set(FOREIGN_LABELS) == served


def test_every_operation_is_fuzzed(hit: Target) -> None:
    assert set(operations(hit)) == set(LABELS)


@pytest.mark.slow
@pytest.mark.parametrize("label", LABELS)
def test_no_request_finds_a_fault(services: Running, hit: Target, label: str) -> None:
    share, send = operations(hit)[label]
    send(max(2, round(CASES * share)), 7)
    assert "request_failed" not in (services.logs / "web.log").read_text()
