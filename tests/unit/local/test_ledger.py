"""What was begun is found again, and two commands share it."""

import threading
from pathlib import Path

import pytest

from services.local.ledger import Entry, Ledger, state_folder


@pytest.fixture(params=[True, False], ids=["file", "memory"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "state" / "reading.json" if request.param else None)


def test_an_entry_is_kept_until_it_is_removed(ledger: Ledger) -> None:
    assert ledger.find("a") is None
    ledger.put("a", Entry(upload_id="1"))
    ledger.put("b", Entry(upload_id="2", job_id="2"))
    ledger.put("a", Entry(upload_id="1", job_id="1"))
    assert ledger.find("a") == Entry(upload_id="1", job_id="1")
    ledger.remove("a")
    ledger.remove("a")
    assert (ledger.find("a"), ledger.find("b")) == (None, Entry(upload_id="2", job_id="2"))


def test_another_process_finds_it_and_damage_costs_only_time(tmp_path: Path) -> None:
    file = tmp_path / "reading.json"
    Ledger(file).put("a", Entry(job_id="1"))
    assert Ledger(file).find("a") == Entry(job_id="1")
    file.write_bytes(b'{"entries": {"a"')
    assert Ledger(file).find("a") is None
    Ledger(file).put("b", Entry(job_id="2"))
    assert Ledger(file).find("b") == Entry(job_id="2")


def test_changes_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    file = tmp_path / "reading.json"

    def put(name: str) -> None:
        for number in range(10):
            Ledger(file).put(f"{name}{number}", Entry(job_id=name))

    threads = [threading.Thread(target=put, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(Ledger(file).find(f"{name}{number}") for name in "abc" for number in range(10))


def test_the_state_is_where_the_setting_or_the_desktop_standard_says(tmp_path: Path) -> None:
    assert state_folder("/somewhere", {"XDG_STATE_HOME": "/x"}) == Path("/somewhere")
    assert state_folder("", {"XDG_STATE_HOME": "/x"}) == Path("/x/gnosis-ocr")
    assert state_folder("", {}) == Path("~/.local/state/gnosis-ocr").expanduser()
