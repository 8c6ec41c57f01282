"""`python -m tests.emulators.openai`: serve until interrupted, for trying things by hand."""

import argparse
import inspect
import threading

from tests.emulators.openai import manners
from tests.emulators.openai.server import Emulator


def main() -> None:
    """Print the setting for the worker, then serve."""
    known = {
        name: function
        for name, function in vars(manners).items()
        if inspect.iscoroutinefunction(function) and not name.startswith("_")
    }
    parser = argparse.ArgumentParser(prog="python -m tests.emulators.openai", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--manner", choices=sorted(known), default="stream")
    given = parser.parse_args()
    with Emulator(port=given.port, manner=known[given.manner]) as server:
        print(f"OCR_ENGINE=openai OPENAI_BASE_URL={server.url}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
