"""An exploited child can do nothing: each action works outside the jail, and does not inside (R70)."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.serving import jail
from tests import ROOT
from tests.jail.actions import ACTIONS, FREE

ORDINARY = 65534
USERS = (0, ORDINARY) if os.getuid() == 0 else (os.getuid(),)

# What some kernels refuse to everybody, or to all but root; there it proves nothing.
MAY_BE_MISSING = {
    "set_up_io_uring",
    "keep_a_key",
    "enter_a_new_user_namespace",
    "count_events_of_the_processor",
    "handle_page_faults",
    "share_memory",
    "leave_a_message_queue",
    "take_a_descriptor_of_the_victim",
}
LEAST_PROVEN = 25
# What an engine needs and a renderer does not: threads, and looking for the modules that it imports.
ALLOWED = {("start_a_thread", jail.Profile.ENGINE), ("look_at_a_files_size", jail.Profile.ENGINE)}
REFUSALS = ("Permission denied", "Operation not permitted", "Function not implemented", "can't start new thread")

pytestmark = pytest.mark.skipif(bool(jail.missing()), reason=f"no jail here: {jail.missing()}")


@dataclass(frozen=True)
class Place:
    """A victim of a user, and how to act against it."""

    uid: int
    where: dict[str, object]

    def act(self, name: str, profile: str) -> str:
        """What the action reports, in a jail of this profile or free."""
        command = [sys.executable, "-m", "tests.jail.actions", name, profile, str(self.uid)]
        ended = subprocess.run(
            [*command, json.dumps(self.where)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )
        return ended.stdout.strip() or f"FAILED: killed, {ended.returncode} {ended.stderr[-300:]}"


@pytest.fixture(scope="module", params=USERS, ids=lambda uid: "root" if uid == 0 else "ordinary")
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    uid: int = request.param
    # Not below pytest's own folder, which it keeps from other users.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in ("document", "spare"):
            (folder / file).write_text("another user's document")
            os.chown(folder / file, uid, uid)
        os.chown(folder, uid, uid)
        with subprocess.Popen(
            [sys.executable, "-m", "tests.jail.victim", name, str(uid)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as victim:
            assert victim.stdin is not None and victim.stdout is not None
            yield Place(uid, {**json.loads(victim.stdout.readline()), "folder": name})
            victim.stdin.close()


@pytest.mark.parametrize("name", ACTIONS)
def test_an_exploited_child_cannot(place: Place, name: str) -> None:
    free = place.act(name, FREE)
    if name in MAY_BE_MISSING and free != "DONE":
        pytest.skip(f"not possible here even without the jail: {free}")
    assert free == "DONE", f"{name} proves nothing, since it fails without the jail too: {free}"
    for profile in jail.Profile.READER, jail.Profile.ENGINE:
        if (name, profile) in ALLOWED:
            continue
        jailed = place.act(name, profile)
        # Refused by the jail, not by a mistake of this test.
        assert jailed.startswith("FAILED") and any(refusal in jailed for refusal in REFUSALS), f"{profile}: {jailed}"


def test_enough_is_tried() -> None:
    assert len(ACTIONS.keys() - MAY_BE_MISSING) >= LEAST_PROVEN
