"""`python -m deploy.plan [STAGE...]` prints the commands that deploy as a shell script; with `--run` it runs them."""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

from deploy import foundation, release, rotation, teardown
from deploy.command import Step
from deploy.queues import NotDeployable
from deploy.settings import DeploySettings, check
from libs.config import ConfigError, read
from libs.taskqueue.queue_settings import BadQueueFile, QueueSettings, queue_path, read_queue_settings

Queues = Mapping[str, QueueSettings]
Stage = Callable[[DeploySettings, Queues], list[Step]]

STAGES: dict[str, Stage] = {
    "setup": lambda settings, queues: foundation.setup(settings),
    "queue": foundation.queues,
    "images": lambda settings, queues: release.images(settings),
    "worker": lambda settings, queues: release.worker(settings),
    "web": lambda settings, queues: release.web(settings),
    "sweep": lambda settings, queues: release.sweep(settings),
    "audit": lambda settings, queues: foundation.audit(settings),
    "rotate": lambda settings, queues: rotation.rotate(settings),
    "rotate-end": lambda settings, queues: rotation.rotate_end(settings),
    "models": lambda settings, queues: release.models(settings),
    "revisions": lambda settings, queues: release.revisions(settings),
    "rollback": lambda settings, queues: release.rollback(settings),
    "down": lambda settings, queues: teardown.down(settings),
}
# From an empty project to a service that reads.
ALL = ("setup", "queue", "images", "worker", "web", "sweep")


def plan(stages: Sequence[str], environ: Mapping[str, str]) -> list[Step]:
    """The steps of the stages named, in that order. Raises `ConfigError`, `BadQueueFile`, `NotDeployable`."""
    settings = read(DeploySettings, environ)
    queues = read_queue_settings(queue_path(settings.queue_file))
    check(settings, queues)
    return [step for name in stages for step in STAGES[name](settings, queues)]


def script(steps: Sequence[Step]) -> str:
    """The steps as one shell script, which stops at the first failure."""
    return "\n\n".join(["set -euo pipefail", *(step.script() for step in steps)]) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m deploy.plan", description=__doc__)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"all, {', '.join(STAGES)} (default: all)")
    parser.add_argument("--run", action="store_true", help="run the commands instead of printing them")
    asked = parser.parse_args(arguments)
    stages = [name for stage in asked.stages or ["all"] for name in (ALL if stage == "all" else (stage,))]
    if unknown := [name for name in stages if name not in STAGES]:
        parser.error(f"there is no stage {unknown[0]!r}; choose from: all, {', '.join(STAGES)}")
    try:
        text = script(plan(stages, os.environ))
    except (ConfigError, BadQueueFile, NotDeployable) as error:
        print(f"gnosis-ocr deploy: {error}", file=sys.stderr)
        return 2
    if not asked.run:
        print(text, end="")
        return 0
    # As an argument, not as its input, which commands would read. Not traced: that would show the secret.
    return subprocess.run(["bash", "-c", text], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
