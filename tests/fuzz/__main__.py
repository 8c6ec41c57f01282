"""`make fuzz CASES=10000`: the long run, with a table of what was sent and every fault in full."""

import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.interface import SCRIPT, SETTINGS, operations, target
from tests.running import running


def main() -> int:
    """Send some CASES requests, spread over all operations; 1 if any answer was at fault."""
    cases = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    start = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
    print(f"{cases} cases from seed {start}")
    faults = 0
    with (
        tempfile.TemporaryDirectory(prefix="gnosis-fuzz-") as folder,
        running(Path(folder), script=SCRIPT, **SETTINGS) as services,
    ):
        hit = target(services)
        senders = operations(hit)
        for label, (share, send) in senders.items():
            count = round(cases * share)
            began = time.monotonic()
            try:
                answers = send(count, start)
                said = " ".join(f"{status}:{n}" for status, n in sorted(answers.items()))
            except (Exception, BaseExceptionGroup) as fault:
                faults += 1
                said = f"FAULT\n{fault}"
            print(f"{label:55} {count:6} cases {time.monotonic() - began:7.1f} s  {said}", flush=True)
        log = (services.logs / "web.log").read_text()
        if "request_failed" in log:
            faults += 1
            print(next(line for line in log.splitlines() if "request_failed" in line))
    print(f"{faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
