"""`python -m tests.chaos --kills N` kills the real services N times and holds the promise against what is left."""

import argparse
import asyncio
import itertools
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.chaos.disk import MAY_MOUNT, mount_namespace
from tests.chaos.journal import What
from tests.chaos.storm import Round, Verdict
from tests.chaos.table import table

FORK_SUPPORT = "GRPC_ENABLE_FORK_SUPPORT"
#: Of a round, at least. Chosen: the storm then lasts long enough for web to start and take an upload.
LEAST_KILLS = 5
# Of a story that went wrong.
LINES_BEFORE, LINES_AFTER = 120, 40


def main() -> int:
    """The exit code: 1 when the promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=1000, help="how many processes to kill, at least")
    parser.add_argument("--round", type=int, default=100, help="how many kills before all has to come to its end")
    parser.add_argument("--abreast", type=int, default=2, help="how many rounds run side by side")
    parser.add_argument("--seed", type=int, default=1, help="draws victims, places and documents")
    parser.add_argument(
        "--mode", choices=("local", "cloud"), default="local", help="on a disk, or on emulators of Google"
    )
    parser.add_argument("--quick", action="store_true", help="leave out the places after which a job waits a minute")
    parser.add_argument("--keep", action="store_true", help="keep the folders of rounds that broke nothing, too")
    arguments = parser.parse_args()
    in_cloud = arguments.mode == "cloud"
    if in_cloud and FORK_SUPPORT not in os.environ:
        # The scheduler speaks gRPC in this process; its handlers, which are there from its import on, abort children on
        # their way to their program.
        os.environ[FORK_SUPPORT] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.chaos", *sys.argv[1:]])
    if not in_cloud and MAY_MOUNT not in os.environ and (prefix := mount_namespace()):
        os.environ[MAY_MOUNT] = "1"
        os.execvp(prefix[0], [*prefix, sys.executable, "-m", "tests.chaos", *sys.argv[1:]])
    may_mount = MAY_MOUNT in os.environ
    verdicts = asyncio.run(_run(arguments, may_mount=may_mount))
    print()
    disk = "a file system of its own" if may_mount else "by switch: mounting is not allowed here"
    print(table(verdicts, disk="the bucket" if in_cloud else disk))
    return any(verdict.broken for verdict in verdicts)


async def _run(arguments: argparse.Namespace, *, may_mount: bool) -> list[Verdict]:
    """Round after round, some side by side: a round waits more than it works."""
    verdicts: list[Verdict] = []
    struck: Counter[str] = Counter()
    seeds = (f"{arguments.seed}.{number}" for number in itertools.count())

    async def rounds() -> None:
        while (left := arguments.kills - sum(map(_kills, verdicts)) - sum(running.values())) > 0:
            seed = next(seeds)
            root = Path(tempfile.mkdtemp(prefix="gnosis-chaos-"))
            stage = Round(
                root,
                seed=seed,
                struck=struck,
                in_cloud=arguments.mode == "cloud",
                may_mount=may_mount,
                quick=arguments.quick,
            )
            running[seed] = max(LEAST_KILLS, min(arguments.round, left))
            verdict = await stage.run(running[seed])
            verdicts.append(verdict)
            del running[seed]
            _print(seed, verdict, root)
            if not verdict.broken and not arguments.keep:
                shutil.rmtree(root)

    running: dict[str, int] = {}
    await asyncio.gather(*(rounds() for _ in range(arguments.abreast)))
    return verdicts


def _print(seed: str, verdict: Verdict, root: Path) -> None:
    print(_line(seed, verdict), flush=True)
    for story in verdict.stories:
        first = next(number for number, line in enumerate(story) if "BROKEN" in line)
        print("\n".join(["", *story[max(0, first - LINES_BEFORE) : first + LINES_AFTER]]), flush=True)
    if verdict.broken:
        print(f"Logs and journal of this round: {root}", flush=True)


def _kills(verdict: Verdict) -> int:
    return sum(entry.what is What.DIED and entry.code == -signal.SIGKILL for entry in verdict.entries)


def _line(seed: str, verdict: Verdict) -> str:
    return (
        f"round {seed}: {_kills(verdict)} kills in {verdict.storm_seconds:.0f} s, {len(verdict.ends)} jobs, "
        f"{verdict.pages} pages, {verdict.recognitions} recognitions; calm after {verdict.calm_seconds:.0f} s, "
        f"longest wait {verdict.idle_seconds:.0f} s: "
        f"{'; '.join(dict.fromkeys(verdict.broken)) or 'kept'}"
    )


if __name__ == "__main__":
    sys.exit(main())
