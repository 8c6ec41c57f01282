"""`python -m deploy.queues plan|apply`: makes the queues of Cloud Tasks what `deploy/queue.yaml` says.

`plan` prints the gcloud commands, `apply` runs them: a queue that is there is updated, one that is not is created.
"""

import argparse
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from libs.taskqueue.queue import EXTRACT_QUEUE, OCR_QUEUE
from libs.taskqueue.settings import BadQueueFile, QueueSettings, read_queue_settings

QUEUE_FILE = Path(__file__).parent / "queue.yaml"


class NotDeployable(Exception):
    """The settings do locally, but not for Cloud Tasks; the message says what to change."""


def command(verb: str, name: str, settings: QueueSettings, *, place: Sequence[str], log_ratio: float) -> list[str]:
    """The gcloud command that creates or updates (`verb`) the queue. Raises `NotDeployable`."""
    return [
        *("gcloud", "tasks", "queues", verb, name),
        *place,
        f"--max-attempts={-1 if settings.max_attempts is None else settings.max_attempts}",
        f"--max-retry-duration={_whole(name, 'maxRetryDuration', settings.max_retry_seconds or 0)}",
        f"--min-backoff={_whole(name, 'minBackoff', settings.min_backoff_seconds)}",
        f"--max-backoff={_whole(name, 'maxBackoff', settings.max_backoff_seconds)}",
        f"--max-doublings={settings.max_doublings}",
        f"--max-dispatches-per-second={settings.max_dispatches_per_second:g}",
        f"--max-concurrent-dispatches={settings.max_concurrent_dispatches}",
        f"--log-sampling-ratio={log_ratio:g}",
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; its exit code."""
    asked = _parser().parse_args(arguments)
    place = [f"--location={asked.location}", *([f"--project={asked.project}"] if asked.project else [])]
    names = {OCR_QUEUE: asked.ocr_queue, EXTRACT_QUEUE: asked.extract_queue}
    try:
        queues = read_queue_settings(asked.queue_file)
        commands = {
            verb: {
                names[queue]: command(verb, names[queue], settings, place=place, log_ratio=asked.log_ratio)
                for queue, settings in queues.items()
            }
            for verb in ("create", "update")
        }
    except (BadQueueFile, NotDeployable) as error:
        print(f"gnosis-ocr: {error}", file=sys.stderr)
        return 2
    if asked.action == "apply" and shutil.which("gcloud") is None:
        print("gnosis-ocr: gcloud is not installed. See https://cloud.google.com/sdk/docs/install.", file=sys.stderr)
        return 2
    for name in names.values():
        if asked.action == "plan":
            print("#", name, "is created if it is not there, else updated:")
            print(*(shlex.join(commands[verb][name]) for verb in commands), sep="\n")
            continue
        verb = "update" if _exists(name, place) else "create"
        if code := subprocess.run(commands[verb][name], check=False).returncode:
            return code
    return 0


def _exists(name: str, place: Sequence[str]) -> bool:
    describe = ["gcloud", "tasks", "queues", "describe", name, *place]
    return subprocess.run(describe, capture_output=True, check=False).returncode == 0


def _whole(queue: str, key: str, seconds: float) -> str:
    """Cloud Tasks cuts durations down to whole seconds: half a second of back-off would be none."""
    if seconds != int(seconds):
        raise NotDeployable(f"queue {queue}: {key} is {seconds:g}s: Cloud Tasks counts whole seconds. Round it.")
    return f"{int(seconds)}s"


def _ratio(text: str) -> float:
    ratio = float(text)
    if not 0 <= ratio <= 1:
        raise argparse.ArgumentTypeError("must be from 0 to 1")
    return ratio


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.queues", description=__doc__)
    parser.add_argument("action", choices=["plan", "apply"])
    parser.add_argument("--location", required=True, help="region of the queues, such as europe-west1")
    parser.add_argument("--project", default="", help="default: the project that gcloud is set to")
    parser.add_argument("--queue-file", type=Path, default=QUEUE_FILE)
    parser.add_argument("--ocr-queue", default=OCR_QUEUE, help="name of the queue for OCR (TASKS_OCR_QUEUE)")
    parser.add_argument("--extract-queue", default=EXTRACT_QUEUE, help="and for extraction (TASKS_EXTRACT_QUEUE)")
    parser.add_argument("--log-ratio", type=_ratio, default=1.0, help="share of operations to log, 0 to 1")
    return parser


if __name__ == "__main__":
    sys.exit(main())
