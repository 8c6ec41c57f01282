"""`python -m tests.emulators.gcs`: serve until interrupted, for trying things by hand."""

import argparse
import contextlib

from tests.emulators.gcs.faults import Fault
from tests.emulators.gcs.server import Emulator


def main() -> None:
    """Print the settings for a client, then serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.emulators.gcs", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--bucket", default="gnosis-ocr-storage")
    parser.add_argument("--paced", action="store_true", help="one write a second to one object")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--slow-seconds", type=float, default=0.5)
    for fault in Fault:
        parser.add_argument(f"--{fault}", type=float, default=0.0, metavar="RATE")
    given = parser.parse_args()
    with Emulator(port=given.port, seed=given.seed) as emulator:
        emulator.make_bucket(given.bucket, paced=given.paced)
        emulator.faults.slow_seconds = given.slow_seconds
        emulator.faults.set({fault: getattr(given, fault.replace("-", "_")) for fault in Fault})
        print(f"STORAGE_EMULATOR_HOST={emulator.url} GCS_BUCKET_NAME={given.bucket}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            emulator.wait()


if __name__ == "__main__":
    main()
