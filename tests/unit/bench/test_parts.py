"""The bench in parts: each saved as it ends, one that fails leaves the others alone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.engine.parts import Figures, Part, State
from bench.engine.table import table

ABOUT = {"device": "an abacus", "versions": {"python": "3"}}


class Clock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "figures.json"


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def figures(file: Path, clock: Clock, told: list[str]) -> Figures:
    return Figures(ABOUT, budget=60, file=file, clock=clock, tell=told.append)


def saved(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text())["parts"]
    return found


def broken() -> float:
    try:
        raise OSError("out of beads")
    except OSError as error:
        raise RuntimeError("cannot count") from error


def test_a_part_is_in_the_file_while_it_runs_and_when_it_has_ended(figures: Figures, file: Path, clock: Clock) -> None:
    seen = []

    def run() -> float:
        seen.append(saved(file))
        clock.now += 2
        return 7.5

    figures.measure(Part(name="sum", seconds=1, run=run))
    assert seen == [{"sum": {"state": "running"}}]
    assert saved(file) == {"sum": {"state": "done", "seconds": 2.0, "figure": 7.5}}
    assert json.loads(file.read_text())["device"] == "an abacus"
    assert figures["sum"] == 7.5
    assert figures["product"] is None


def test_a_part_that_fails_leaves_its_reason_and_the_others_alone(figures: Figures, file: Path) -> None:
    figures.measure(Part(name="sum", seconds=1, run=lambda: 1))
    figures.measure(Part(name="product", seconds=1, run=broken))
    figures.measure(Part(name="root", seconds=1, run=lambda: 3))
    assert [part["state"] for part in saved(file).values()] == ["done", "failed", "done"]
    error = saved(file)["product"]["error"]
    assert (error["type"], error["message"]) == ("RuntimeError", "cannot count")
    assert error["cause"] == "OSError: out of beads"
    assert error["trace"].endswith("RuntimeError: cannot count\n")
    assert figures.failed
    assert figures["product"] is None


def test_each_row_is_in_the_file_before_the_next_is_measured(figures: Figures, file: Path) -> None:
    seen = []

    def rows() -> Iterator[dict[str, int]]:
        for number in range(3):
            yield {"batch": number}
            part = saved(file)["decode"]
            seen.append((part["state"], [row["batch"] for row in part["figure"]]))
        broken()

    figures.measure(Part(name="decode", seconds=1, run=rows))
    assert seen == [("running", [0]), ("running", [0, 1]), ("running", [0, 1, 2])]
    assert saved(file)["decode"]["state"] == "failed"
    assert saved(file)["decode"]["figure"] == [{"batch": 0}, {"batch": 1}, {"batch": 2}]
    assert saved(file)["decode"]["error"]["message"] == "cannot count"


def test_rows_that_ended_are_the_figure(figures: Figures, file: Path) -> None:
    figures.measure(Part(name="decode", seconds=1, run=lambda: iter([1, 2])))
    assert figures["decode"] == saved(file)["decode"]["figure"] == [1, 2]


def test_a_part_whose_time_has_run_out_is_skipped_and_a_shorter_one_is_not(
    figures: Figures, file: Path, clock: Clock
) -> None:
    clock.now += 50
    figures.measure(Part(name="long", seconds=11, run=broken))
    figures.measure(Part(name="short", seconds=10, run=lambda: 1))
    assert saved(file)["long"] == {"state": "skipped", "why": "needs 11 s, 10 s left"}
    assert saved(file)["short"]["state"] == "done"
    assert not figures.failed


def test_without_a_budget_nothing_is_too_long(file: Path, clock: Clock) -> None:
    figures = Figures(ABOUT, file=file, clock=clock, tell=lambda line: None)
    figures.measure(Part(name="long", seconds=1e9, run=lambda: 1))
    assert figures.outcomes["long"].state is State.DONE


@pytest.mark.parametrize("before", [None, broken])
def test_a_part_is_skipped_where_the_one_it_needs_is_not_done(figures: Figures, file: Path, before: Any) -> None:
    if before:
        figures.measure(Part(name="model", seconds=1, run=before))
    figures.measure(Part(name="page", seconds=1, run=broken, after=("model",)))
    assert saved(file)["page"] == {"state": "skipped", "why": "needs model"}


def test_the_file_is_replaced_as_a_whole(figures: Figures, file: Path) -> None:
    figures.measure(Part(name="sum", seconds=1, run=lambda: 1))
    with file.open() as before:
        figures.measure(Part(name="product", seconds=1, run=lambda: 2))
        # Whoever opened it earlier goes on to read what it was.
        assert list(json.load(before)["parts"]) == ["sum"]
    assert list(saved(file)) == ["sum", "product"]
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_what_json_has_no_number_for_is_null(figures: Figures, file: Path) -> None:
    figures.measure(Part(name="share", seconds=1, run=lambda: {"a": float("nan"), "b": float("inf")}))
    assert saved(file)["share"]["figure"] == {"a": None, "b": None}


def test_lines_come_as_the_parts_end(figures: Figures, told: list[str]) -> None:
    figures.measure(Part(name="sum", seconds=1, run=lambda: {"of": 2}))
    figures.measure(Part(name="product", seconds=1, run=broken))
    figures.measure(Part(name="root", seconds=99, run=broken))
    assert [line.split() for line in told] == [
        ["sum", "done", "0.0", "s", '{"of":2}'],
        ["product", "failed", "0.0", "s", "RuntimeError:", "cannot", "count"],
        ["root", "skipped", "0.0", "s", "needs", "99", "s,", "60", "s", "left"],
    ]


def test_the_table_shows_what_there_is_and_lists_what_is_missing(figures: Figures) -> None:
    def rows() -> Iterator[dict[str, float | None]]:
        yield {"batch": 8, "step_ms": 2.5, "floor_ms": None, "of_roofline": None}
        broken()

    figures.measure(Part(name="bandwidth", seconds=99, run=broken))
    fallback = "flash refuses: RuntimeError: no"
    decoder = {"slots": 8, "capacity": 99, "kernel": "sdpa", "graphs": 0, "fallback": fallback}
    figures.measure(Part(name="decoder", seconds=1, run=lambda: decoder))
    figures.measure(Part(name="decode", seconds=1, run=rows))
    figures.measure(Part(name="fast", seconds=1, run=broken))
    served = {"pages_per_second": 3.25}
    figures.measure(Part(name="served", seconds=1, run=lambda: served))
    shown = table(figures)
    assert "an abacus, python 3" in shown
    assert f"NOT THE FAST WAY: {fallback}" in shown
    assert ["8", "2.50", "-", "-"] in [line.split() for line in shown.splitlines()]
    assert "3.250" in shown
    assert "skipped: bandwidth: needs 99 s, 60 s left" in shown
    assert "FAILED: fast: RuntimeError: cannot count" in shown


def test_the_table_of_nothing_is_no_fault(figures: Figures) -> None:
    assert "Goals" in table(figures)
