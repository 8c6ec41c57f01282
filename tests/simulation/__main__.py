"""`python -m tests.simulation --seeds N` runs N seeds; `--seed K` replays one and tells its story."""

import argparse
import sys
import time

from tests.simulation.fairness import figure
from tests.simulation.simulate import simulate


def main() -> int:
    """The exit code: 1 when a seed broke the promise."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="replay this seed alone and tell its story")
    parser.add_argument("--keep-going", action="store_true", help="go on after a seed that fails")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        verdict = simulate(arguments.seed, whole=True)
        print("\n".join(verdict.story))
        print(f"seed {verdict.seed}: {'; '.join(verdict.broken) or 'kept'}")
        return bool(verdict.broken)
    began, pages, virtual, failed = time.process_time(), 0, 0.0, 0
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        verdict = simulate(seed)
        pages += verdict.pages
        virtual += verdict.seconds
        if verdict.broken:
            failed += 1
            print(f"seed {seed}: {verdict.broken[0]}", flush=True)
            if not arguments.keep_going:
                print("\n".join(verdict.story[-150:]))
                print(f"Replay it: make simulate SEED={seed}")
                return 1
    seconds = time.process_time() - began
    print(
        f"{arguments.seeds} seeds, {failed} failed: {pages} pages, {virtual / 3600:.1f} virtual hours "
        f"in {seconds:.1f} s of processor time"
    )
    print(figure())
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
