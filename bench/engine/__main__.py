"""How near the model engine comes to what the machine can do: `python -m bench.engine [--json FILE]`.

Random weights, so nothing is downloaded: of the real 3B shape on a GPU (under ten minutes), of a tiny one on a CPU,
which only shows that all of it runs. Every part is compared with what limits it, measured in the same run; whole pages
with the loop that an ordinary script would run (one page per `generate`, bfloat16 on a GPU, SDPA, KV cache, the same
pixels and lengths) and with `generate` over a padded batch.
"""

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any

import torch

from bench.engine.runs import Bench
from bench.engine.shapes import CPU_SCALE, FULL, GPU_SCALE, TINY
from services.worker.engines.qwen.device import describe

GOALS = """\
Goals on an H100: 0.55 of the roofline at 64 slots and 0.40 at 1; 40 times one page per generate, 4 times a batch."""


def main() -> None:
    """Run everything and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.engine", description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--slots", type=int, default=0, help="pages at once (default: as many as fit, 64 at most)")
    parser.add_argument("--tiny", action="store_true", help="the tiny model, also on a GPU")
    options = parser.parse_args()
    tiny = options.tiny or not torch.cuda.is_available()
    if tiny:
        # Several threads would only wait for each other.
        torch.set_num_threads(1)
    bench = Bench(TINY if tiny else FULL, CPU_SCALE if tiny else GPU_SCALE, options.slots or (4 if tiny else 0))
    figures = measure(bench)
    print(table(figures))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2))


def measure(bench: Bench) -> dict[str, Any]:
    """Every run, the ordinary ways before the fast one has rearranged any weight."""
    figures: dict[str, Any] = {"device": describe(bench.device), "torch": torch.__version__, "cuda": torch.version.cuda}
    figures["bandwidth"], figures["matrix_rate"] = bench.bandwidth(), bench.matrix_rate()
    figures["load_seconds"] = bench.load_seconds()
    figures["naive_pages_per_second"] = bench.naive()
    figures["batched_pages_per_second"] = bench.batched()
    decoder = bench.decoder()
    figures["slots"], figures["kernel"] = decoder.slots, decoder.execution.kernel
    figures["decode"] = list(bench.decode(decoder, figures["bandwidth"]))
    figures["page"] = bench.page(decoder, figures["matrix_rate"])
    figures["agreement"] = bench.agreement(decoder)
    figures["fast"] = bench.fast(decoder)
    figures["peak_bytes"] = bench.peak_bytes()
    # Last: its thread keeps the decoder for good.
    figures["served_pages_per_second"] = asyncio.run(bench.served(decoder))
    fast = figures["fast"]["pages_per_second"]
    figures["times_naive"] = fast / figures["naive_pages_per_second"]
    figures["times_batched"] = fast / figures["batched_pages_per_second"]
    return figures


def table(figures: dict[str, Any]) -> str:
    """The figures for a person."""
    fast, page, agreement = figures["fast"], figures["page"], figures["agreement"]
    naive, batched = figures["naive_pages_per_second"], figures["batched_pages_per_second"]
    whole = {
        "one page per generate": naive,
        "generate over a batch": batched,
        "slots": fast["pages_per_second"],
        "slots, from PNG files": figures["served_pages_per_second"],
    }
    return "\n".join(
        [
            f"{figures['device']}, torch {figures['torch']}, CUDA {figures['cuda']}; attention: {figures['kernel']}",
            f"copies {figures['bandwidth'] / 1e9:.0f} GB/s, products {figures['matrix_rate'] / 1e12:.2f} TFLOP/s",
            "",
            f"{'decoding, slots at once':<34}{'ms/step':>9}{'floor':>9}{'share':>9}",
            *(
                f"{row['batch']:<34}{row['step_ms']:>9.2f}{row['floor_ms']:>9.2f}{row['of_roofline']:>9.2f}"
                for row in figures["decode"]
            ),
            "",
            f"{'reading a large page in':<34}{'ms':>9}{'floor':>9}{'share':>9}",
            f"{'':<34}{page['page_ms']:>9.1f}{page['floor_ms']:>9.1f}{page['of_matrix_rate']:>9.2f}",
            "",
            f"{'whole pages':<34}{'pages/s':>9}{'ratio':>9}",
            *(f"{name:<34}{rate:>9.3f}{rate / naive:>9.1f}" for name, rate in whole.items()),
            "",
            f"{figures['slots']} slots, {fast['slot_occupancy']:.0%} of them busy while pages wait; "
            f"{fast['tokens_per_second']:.0f} tokens/s; {figures['times_batched']:.1f} times the batch",
            f"{agreement['share']:.1%} of its tokens are the reference's choice after the same ones, and "
            f"it gave no token less than its favourite by more than {agreement['shortfall']:.2%}",
            f"weights loaded in {figures['load_seconds']:.1f} s; {figures['peak_bytes'] / 2**30:.1f} GiB at the peak",
            "",
            GOALS,
        ]
    )


if __name__ == "__main__":
    main()
