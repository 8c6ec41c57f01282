"""The locked requirements of each installation: `python -m deploy.lock UV [--upgrade]`.

Writes `requirements/*.txt` anew. UV is the program `uv`, which resolves for every supported Python and platform at once
and lists the hash of every file that pip may choose. Versions are those of `constraints.txt`; `--upgrade` applies to
what that file does not name.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "requirements"
#: The extras of each installation: a file of this name has all that these need, and what builds the project itself.
INSTALLATIONS = {
    "run": ("web", "worker", "cpu", "local"),
    "dev": ("dev",),
    "gpu": ("gpu",),
    "web": ("web", "gcp"),
    "worker": ("worker", "cpu", "gcp"),
    "supply": ("supply",),
}
#: PyTorch and what only its CUDA builds need. Which build is right (CPU, the CUDA of the driver) depends on the
#: machine, and each comes from another index with other files: only the version is locked, in `constraints.txt`.
UNLOCKED = re.compile(r"^(torch|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)==")
_HEAD = "# Written by `make lock`: do not edit. Installed with --require-hashes --no-deps.\n"


def main(arguments: list[str]) -> int:
    """Write every file; the exit code."""
    if not arguments or set(arguments[1:]) - {"--upgrade"}:
        print("usage: python -m deploy.lock UV [--upgrade]", file=sys.stderr)
        return 2
    FOLDER.mkdir(exist_ok=True)
    for name, extras in INSTALLATIONS.items():
        path = FOLDER / f"{name}.txt"
        try:
            resolved = _resolved(arguments[0], extras, path.read_text() if path.exists() else "", arguments[1:])
        except (OSError, subprocess.CalledProcessError) as error:
            # uv has printed its reason.
            print(f"{path.relative_to(ROOT)} stays as it was: {error}", file=sys.stderr)
            print(
                "Mend what uv names in pyproject.toml or constraints.txt, and run `make lock` again.", file=sys.stderr
            )
            return 1
        path.write_text(_HEAD + _locked(resolved))
        print(f"{path.relative_to(ROOT)}: {len(re.findall('^[a-z0-9]', path.read_text(), re.MULTILINE))} packages")
    return 0


def _resolved(uv: str, extras: tuple[str, ...], locked: str, options: list[str]) -> str:
    """uv's answer for these extras and the build system's own requirements; `locked` has the versions to prefer."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    output = FOLDER / ".resolving.txt"
    builds = FOLDER / ".build.in"
    output.write_text(locked)
    builds.write_text("\n".join(project["build-system"]["requires"]))
    try:
        command = (
            *(uv, "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"),
            *("--no-annotate", "--no-header", "--constraint", "constraints.txt", "--output-file", str(output)),
            *(option for extra in extras for option in ("--extra", extra)),
            *(*options, "pyproject.toml", str(builds)),
        )
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        return output.read_text()
    finally:
        output.unlink()
        builds.unlink()


def _locked(resolved: str) -> str:
    """The requirements, each with its hashes, without those of `UNLOCKED`."""
    blocks = re.split(r"^(?=[A-Za-z0-9])", resolved, flags=re.MULTILINE)
    return "".join(block for block in blocks if block[:1].isalnum() and not UNLOCKED.match(block))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
