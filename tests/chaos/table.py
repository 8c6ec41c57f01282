"""The figures of a run."""

import signal
from collections import Counter
from collections.abc import Sequence

from tests.chaos.journal import What
from tests.chaos.storm import Verdict


def table(verdicts: Sequence[Verdict], *, disk: str) -> str:
    """What was done to the services, and what became of the jobs."""
    entries = [entry for verdict in verdicts for entry in verdict.entries]
    deaths = [entry for entry in entries if entry.what is What.DIED]
    kills = [death for death in deaths if death.code == -signal.SIGKILL]
    chosen = Counter(death.place for death in kills if death.place)
    by_name = Counter(death.name for death in kills if not death.place)
    itself = Counter(death.code for death in deaths if death.code != -signal.SIGKILL)
    outages = Counter(entry.name for entry in entries if entry.what is What.OUTAGE)
    ends = Counter(end for verdict in verdicts for end in verdict.ends)
    rows: list[tuple[str, str]] = [
        ("rounds", f"{len(verdicts)}"),
        ("seconds of storm, of calm", f"{_sum(verdicts, 'storm_seconds'):.0f}, {_sum(verdicts, 'calm_seconds'):.0f}"),
        ("**SIGKILL**", f"**{len(kills)}**"),
        ("at random", f"{by_name.total()}: {_counted(by_name)}"),
        ("at chosen points", f"{chosen.total()} at {len(chosen)} places"),
        ("SIGSTOP for longer than a lease", f"{sum(entry.what is What.STOPPED for entry in entries)}"),
        ("ended by themselves (exit code)", _counted(Counter({f"{code}": n for code, n in itself.items()})) or "none"),
        ("storage outages", f"{_counted(outages) or 'none'} ({disk})"),
        ("writes that failed", f"{sum(entry.what is What.FAULT for entry in entries)}"),
        ("jobs", f"{ends.total()}: {_counted(ends)}"),
        ("pages", f"{sum(verdict.pages for verdict in verdicts)}"),
        ("recognitions", f"{sum(verdict.recognitions for verdict in verdicts)}"),
        ("**lost pages**", f"**{sum(verdict.lost for verdict in verdicts)}**"),
        ("**duplicated pages**", f"**{sum(verdict.duplicated for verdict in verdicts)}**"),
        ("**stuck jobs**", f"**{sum(verdict.stuck for verdict in verdicts)}**"),
        (
            "longest wait after the last fault",
            f"{max(v.idle_seconds for v in verdicts):.1f} s (allowed: {verdicts[0].idle_allowed:g} s)",
        ),
        ("invariants broken, all in all", f"{sum(len(verdict.broken) for verdict in verdicts)}"),
    ]
    lines = ["| what | how many |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows), ""]
    lines += ["| chosen point | kills |", "|---|---|"]
    lines += [f"| `{place}` | {count} |" for place, count in sorted(chosen.items())]
    return "\n".join(lines)


def _sum(verdicts: Sequence[Verdict], field: str) -> float:
    return float(sum(getattr(verdict, field) for verdict in verdicts))


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())
