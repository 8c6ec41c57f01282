"""How near the model engine comes to what the machine can do: `python -m bench.engine [--json FILE] [--seconds N]`.

Random weights, so nothing is downloaded: of the real 3B shape on a GPU, of a tiny one on a CPU, which only shows that
all of it runs. It runs in parts, most wanted first; each is saved as it ends, and one that fails leaves the others
alone. Every part is compared with what limits it, measured in the same run; whole pages with the loop that an ordinary
script would run (one page per `generate`, bfloat16 on a GPU, SDPA, KV cache, the same pixels and lengths) and with
`generate` over a padded batch.
"""

import argparse
import platform
import sys
from pathlib import Path

import torch
import transformers

from bench.engine.machine import Machine
from bench.engine.parts import Figures
from bench.engine.plan import Plan
from bench.engine.shapes import CPU_SCALE, FULL, GPU_SCALE, TINY
from bench.engine.table import table


def main() -> int:
    """Run every part, print the table; the exit status is 1 where a part failed."""
    parser = argparse.ArgumentParser(prog="python -m bench.engine", description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="save the figures here, after each part")
    parser.add_argument("--seconds", type=float, help="skip parts that need more than what is left of so many seconds")
    parser.add_argument("--slots", type=int, default=0, help="pages at once (default: as many as fit, 64 at most)")
    parser.add_argument("--tiny", action="store_true", help="the tiny model, also on a GPU")
    options = parser.parse_args()
    tiny = options.tiny or not torch.cuda.is_available()
    if tiny:
        # Several threads would only wait for each other.
        torch.set_num_threads(1)
    machine = Machine()
    about = {
        "device": machine.name,
        "cuda": torch.version.cuda,
        "model": "tiny" if tiny else "full",
        "versions": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "transformers": transformers.__version__,
        },
        "budget_seconds": options.seconds,
    }
    figures = Figures(about, budget=options.seconds, file=options.json)
    shape, scale = (TINY, CPU_SCALE) if tiny else (FULL, GPU_SCALE)
    for part in Plan(machine, shape, scale, slots=options.slots or (4 if tiny else 0), figures=figures).parts():
        figures.measure(part)
    print()
    print(table(figures))
    return 1 if figures.failed else 0


if __name__ == "__main__":
    sys.exit(main())
