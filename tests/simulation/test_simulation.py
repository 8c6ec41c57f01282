"""The promise under some seeds of trouble, and under more in `make test-all`. Far more: `make simulate SEEDS=10000`."""

import pytest

from tests.simulation.mutants import MUTANTS, catch
from tests.simulation.simulate import simulate

GROUP, SEEDS = 20, 40
ALL_SEEDS = 300
# As many as `make mutants` gives each.
MUTANT_SEEDS = 500


@pytest.mark.parametrize(
    "first",
    [
        *range(0, SEEDS, GROUP),
        *(pytest.param(first, marks=pytest.mark.slow) for first in range(SEEDS, ALL_SEEDS, GROUP)),
    ],
)
def test_every_page_is_accounted_for_under_every_seed(first: int) -> None:
    for seed in range(first, first + GROUP):
        verdict = simulate(seed)
        assert not verdict.broken, "\n".join(
            [*verdict.story[-100:], f"seed {seed}: {verdict.broken[0]}", f"Replay it: make simulate SEED={seed}"]
        )


def test_seed_replays_identically() -> None:
    first, second = simulate(4, whole=True), simulate(4, whole=True)
    assert first.story == second.story
    assert first.events > 50


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_is_caught(name: str) -> None:
    seed, how = catch(MUTANTS[name], MUTANT_SEEDS)
    assert seed is not None, how
