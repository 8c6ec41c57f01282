"""The figures for a person; what was not measured is listed with the reason."""

from collections.abc import Iterator

from bench.engine.parts import Figures, State

GOALS = """\
Goals on an H100: 0.55 of the roofline at 64 slots and 0.40 at 1; 40 times one page per generate, 4 times a batch."""

_WAYS = {
    "naive": "one page per generate",
    "batched": "generate over a batch",
    "fast": "slots",
    "served": "slots, from PNG files",
}


def table(figures: Figures) -> str:
    """Machine, decoder, steps, a page, whole pages, agreement, memory; then what is missing."""
    sections = [_machine(figures), _steps(figures), _page(figures), _pages(figures), _rest(figures), _missing(figures)]
    return "\n\n".join(section for lines in sections if (section := "\n".join(lines))) + f"\n\n{GOALS}"


def _machine(figures: Figures) -> Iterator[str]:
    versions = ", ".join(f"{name} {version}" for name, version in figures.about["versions"].items())
    yield f"{figures.about['device']}, {versions}"
    if bandwidth := figures["bandwidth"]:
        yield f"copies {bandwidth / 1e9:.0f} GB/s"
    if rate := figures["matrix_rate"]:
        yield f"products {rate / 1e12:.2f} TFLOP/s"
    if decoder := figures["decoder"]:
        yield (
            f"{decoder['slots']} slots of {decoder['capacity']} tokens; attention: {decoder['kernel']}; "
            f"{decoder['graphs']} batch sizes captured"
        )
        if decoder["fallback"]:
            yield f"NOT THE FAST WAY: {decoder['fallback']}"


def _steps(figures: Figures) -> Iterator[str]:
    outcome = figures.outcomes.get("decode")
    # Also those of a part that failed at a later row.
    if outcome and outcome.figure:
        yield f"{'decoding, slots at once':<34}{'ms/step':>9}{'floor':>9}{'share':>9}"
        for row in outcome.figure:
            yield f"{row['batch']:<34}{row['step_ms']:>9.2f}{_number(row['floor_ms'])}{_number(row['of_roofline'])}"


def _page(figures: Figures) -> Iterator[str]:
    if page := figures["page"]:
        yield f"{'reading a large page in':<34}{'ms':>9}{'floor':>9}{'share':>9}"
        yield f"{'':<34}{page['page_ms']:>9.1f}{_number(page['floor_ms'])}{_number(page['of_matrix_rate'])}"


def _pages(figures: Figures) -> Iterator[str]:
    rates = {name: figures[name]["pages_per_second"] for name in _WAYS if figures[name]}
    if rates:
        yield f"{'whole pages':<34}{'pages/s':>9}{'ratio':>9}"
        for name, rate in rates.items():
            yield f"{_WAYS[name]:<34}{rate:>9.3f}{_number(rate / rates['naive'] if 'naive' in rates else None)}"


def _rest(figures: Figures) -> Iterator[str]:
    if fast := figures["fast"]:
        occupancy, rate = fast["slot_occupancy"], fast["tokens_per_second"]
        yield f"{occupancy:.0%} of the slots busy while pages wait; {rate:.0f} tokens/s"
    if agreement := figures["agreement"]:
        yield (
            f"{agreement['share']:.1%} of its tokens are the reference's choice after the same ones, and "
            f"it gave no token less than its favourite by more than {agreement['shortfall']:.2%}"
        )
    if (seconds := figures["load_seconds"]) is not None:
        yield f"weights loaded in {seconds:.1f} s"
    if fast:
        yield f"{fast['peak_bytes'] / 2**30:.1f} GiB at the peak, before the comparisons"


def _missing(figures: Figures) -> Iterator[str]:
    for name, outcome in figures.outcomes.items():
        if outcome.state is State.SKIPPED:
            yield f"skipped: {name}: {outcome.why}"
        elif outcome.error:
            yield f"FAILED: {name}: {outcome.error.line}"


def _number(value: float | None) -> str:
    return f"{'-':>9}" if value is None else f"{value:>9.2f}"
