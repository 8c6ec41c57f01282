"""How the installation of a seed is set up."""

import random

import msgspec


class Plant(msgspec.Struct, frozen=True, kw_only=True):
    """How a seed's installation is set up. `local`: one web that holds the queues; else a cloud."""

    local: bool
    webs: int
    workers: int
    dispatches: int
    deadline_seconds: float
    lease_seconds: float
    slice_seconds: float
    batch_seconds: float
    page_seconds: float
    batch_size: int
    slots: int
    ahead: int
    users: int
    extra_children: int
    look_seconds: float


def design(rng: random.Random) -> Plant:
    """Draw an installation."""
    local = rng.random() < 0.4
    return Plant(
        local=local,
        webs=1 if local else rng.choice((1, 2)),
        workers=rng.choice((1, 1, 2) if local else (1, 2, 4)),
        dispatches=rng.choice((1, 2, 8)),
        deadline_seconds=rng.choice((30.0, 120.0, 600.0)),
        lease_seconds=rng.choice((20.0, 60.0)),
        slice_seconds=rng.choice((2.0, 20.0, 300.0)),
        batch_seconds=rng.choice((10.0, 120.0)),
        page_seconds=60.0,
        batch_size=rng.choice((1, 3, 10)),
        slots=rng.choice((1, 1, 3, 8)),
        ahead=rng.choice((1, 3)),
        users=rng.choice((1, 2, 4)),
        extra_children=rng.choice((0, 1, 2)),
        look_seconds=rng.choice((1.0, 5.0)),
    )
