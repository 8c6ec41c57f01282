"""`python -m tests.emulators.cloudtasks PORT`: serve the queues of deploy/queue.yaml until the process ends."""

import argparse
import asyncio
from pathlib import Path

from libs.taskqueue.queue_settings import read_queue_settings
from tests.emulators.cloudtasks.emulator import LOCATION, PROJECT, emulator
from tests.emulators.cloudtasks.faults import Faults
from tests.emulators.cloudtasks.issuer import Issuer

_RATES = ("unavailable", "answer-lost", "doubled", "unheard", "late-seconds")


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.emulators.cloudtasks")
    parser.add_argument("port", type=int, help="of the gRPC interface, on 127.0.0.1; 0: one that is free")
    parser.add_argument("--queue-file", type=Path, default=Path("deploy/queue.yaml"))
    parser.add_argument("--strip-signatures", action="store_true", help="push tokens as Cloud Run leaves them")
    parser.add_argument("--seed", type=int, default=0)
    for rate in _RATES:
        parser.add_argument(f"--{rate}", type=float, default=0.0)
    asked = vars(parser.parse_args())
    port, queues = asked.pop("port"), read_queue_settings(asked.pop("queue_file"))
    strips, faults = asked.pop("strip_signatures"), Faults(**asked)
    async with (
        Issuer() as issuer,
        emulator(queues, port=port, faults=faults, issuer=issuer, strips_signatures=strips) as running,
    ):
        print(f"CLOUD_TASKS_EMULATOR_HOST={running.host}")
        print(f"GOOGLE_CLOUD_PROJECT={PROJECT} TASKS_LOCATION={LOCATION}")
        print(f"keys of its tokens: {issuer.jwks_url}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
