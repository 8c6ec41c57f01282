import os
import time
from pathlib import Path

import httpx

from libs.storage import layout
from tests.running import running
from tests.scripted import Script

TWO_DAYS = 2 * 86400


def test_a_sweep_on_demand_is_for_the_queue_alone_and_looks_at_every_job(tmp_path: Path) -> None:
    with running(tmp_path, script=Script(), SWEEP_SECONDS="3600") as services:
        abandoned = services.storage / layout.active_path("0" * 12, "0" * 32)
        abandoned.parent.mkdir(parents=True, exist_ok=True)
        abandoned.write_bytes(b"{}")
        long_ago = time.time() - TWO_DAYS
        os.utime(abandoned, (long_ago, long_ago))
        token = (services.storage / layout.system_path("internal_token")).read_text()

        refused = httpx.post(f"{services.url}/internal/sweep", trust_env=False)
        left = abandoned.exists()
        swept = httpx.post(f"{services.url}/internal/sweep", headers={"X-Internal-Token": token}, trust_env=False)

    assert (refused.status_code, left) == (401, True)
    assert (swept.status_code, swept.json()) == (200, {"status": "swept", "woken": 0})
    assert not abandoned.exists()
