"""The promise under 200 seeds of trouble. Far more: `make simulate SEEDS=10000`."""

import pytest

from tests.simulation.simulate import simulate

SEEDS = 200


@pytest.mark.parametrize("first", range(0, SEEDS, 20))
def test_every_page_is_accounted_for_under_every_seed(first: int) -> None:
    for seed in range(first, first + 20):
        verdict = simulate(seed)
        assert not verdict.broken, "\n".join(
            [*verdict.story[-100:], f"seed {seed}: {verdict.broken[0]}", f"Replay it: make simulate SEED={seed}"]
        )


def test_seed_replays_identically() -> None:
    first, second = simulate(4, whole=True), simulate(4, whole=True)
    assert first.story == second.story
    assert first.events > 50
