"""Known vulnerabilities of what is installed: `python -m deploy.advisories PIP_AUDIT PYTHON...`.

PIP_AUDIT is the program `pip-audit`; each PYTHON is an interpreter whose packages are checked. Advisories come from OSV
(https://osv.dev). Exit code 1 where a package has one. Where OSV cannot be reached nothing is known: that is printed,
and is an error only with `GNOSIS_REQUIRE_AUDIT` set.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

#: Seconds for each request to OSV. Chosen: a service that does not answer in this time is not reached.
_TIMEOUT = 20


def main(arguments: list[str]) -> int:
    """Check every environment; the exit code: 0, 1 for vulnerable or unknown, 2 for wrong arguments."""
    if len(arguments) < 2:
        print("usage: python -m deploy.advisories PIP_AUDIT PYTHON...", file=sys.stderr)
        return 2
    code = 0
    for python in arguments[1:]:
        found, why = _advisories(arguments[0], python)
        if found is None:
            print(f"audit: NOT DONE for {python}: no advisories could be fetched ({why}). Run it where OSV is reached.")
            code = max(code, int(bool(os.environ.get("GNOSIS_REQUIRE_AUDIT"))))
            continue
        vulnerable = [package for package in found if package.get("vulns")]
        print(f"audit: {len(found)} packages of {python}, {len(vulnerable)} with known vulnerabilities")
        for package in vulnerable:
            fixed = sorted({version for advisory in package["vulns"] for version in advisory["fix_versions"]})
            names = ", ".join(advisory["id"] for advisory in package["vulns"])
            print(f"  {package['name']} {package['version']}: {names}; fixed in {', '.join(fixed) or 'no version'}")
        if vulnerable:
            print("  Raise the version in constraints.txt, run `make lock`; where none is fixed, follow the advisory.")
        code = max(code, int(bool(vulnerable)))
    return code


def _advisories(pip_audit: str, python: str) -> tuple[list[dict[str, Any]] | None, str]:
    """Each package with its advisories; None and the reason where they could not be fetched."""
    folders = subprocess.run(
        (python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"),
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\n")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        ended = subprocess.run(
            (
                *(pip_audit, "--path", folders[0], "--vulnerability-service", "osv", "--timeout", str(_TIMEOUT)),
                *("--progress-spinner", "off", "--format", "json", "--output", str(report)),
            ),
            check=False,
            capture_output=True,
            text=True,
        )
        # pip-audit exits with 1 both for vulnerabilities and for a service that is away; only the former has a report.
        if not report.exists() or not report.stat().st_size:
            lines = ended.stderr.strip().splitlines()
            return None, lines[-1][:200] if lines else f"exit code {ended.returncode}"
        found: list[dict[str, Any]] = json.loads(report.read_text())["dependencies"]
        return found, ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
