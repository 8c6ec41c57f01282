"""What the project takes from elsewhere, by content: `python -m deploy.pin` looks it up and writes it.

- images by digest (`docker buildx imagetools`): of the Dockerfiles, of Cloud Build, of the workflows;
- actions by the commit of the version in their comment (`git ls-remote`);
- the default model's revision by the commit of its repository's main branch (`git ls-remote`).

`--check` looks nothing up and writes nothing: exit code 1, and a line for each image, action or model that is not
pinned.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_DIGEST = r"sha256:[0-9a-f]{64}"
_COMMIT = r"[0-9a-f]{40}"
# Where an image is named: the file's pattern, and the line's.
_IMAGES = (
    ("services/*/Dockerfile", re.compile(rf"^(ARG PYTHON_IMAGE=)([\w./:-]+?)(@{_DIGEST})?$", re.MULTILINE)),
    ("deploy/cloudbuild.yaml", re.compile(rf"^( +- name: )([\w./:-]+?)(@{_DIGEST})?$", re.MULTILINE)),
    (".github/workflows/*.yml", re.compile(rf"^( +(?:- )?image: )([\w./:-]+?)(@{_DIGEST})?$", re.MULTILINE)),
)
_ACTION = re.compile(rf"(uses: )([\w.-]+/[\w.-]+)((?:/[\w./-]+)?@)({_COMMIT})( # (v[\d.]+))")
_MODEL_FILE = "services/worker/modelcache/settings.py"
_MODEL = re.compile(r'^(DEFAULT_REVISION = ")([^"]*)(")$', re.MULTILINE)
_HUB = "https://huggingface.co"
_FORGE = "https://github.com"
# What to do next.
_AFTER_CHECK = "`make pin` looks up what has no digest or commit; an action needs one, and its version, first."
_AFTER_LOOK_UP = "The lines above stay as they were. `make pin` needs docker buildx, git and a network: run it again."


class NotFound(Exception):
    """What was asked for could not be looked up; the message is one line."""


def main(arguments: list[str]) -> int:
    """Pin everything, or with `--check` say what is not pinned; the exit code."""
    if set(arguments) - {"--check"}:
        print("usage: python -m deploy.pin [--check]", file=sys.stderr)
        return 2
    faults = [*unpinned()] if arguments else [*_pin()]
    for fault in faults:
        print(fault)
    if faults:
        print(_AFTER_CHECK if arguments else _AFTER_LOOK_UP, file=sys.stderr)
    return int(bool(faults))


def unpinned() -> Iterator[str]:
    """A line for each image, action and model that is named by a word that may mean something else tomorrow."""
    for path, pattern in _image_files():
        for match in pattern.finditer(path.read_text()):
            if not match[3]:
                yield f"{path.relative_to(ROOT)}: the image {match[2]} has no digest"
    for path in _workflows():
        for line in path.read_text().splitlines():
            if "uses:" in line and not _ACTION.search(line):
                yield f"{path.relative_to(ROOT)}: {line.strip()} names no commit and version"
    if not re.fullmatch(_COMMIT, _model()[2]):
        yield f"{_MODEL_FILE}: the default model's revision is no commit"


def _pin() -> Iterator[str]:
    """Look everything up and write it; a line for each that could not be looked up, which stays as it was."""
    for path, pattern in _image_files():
        yield from _rewritten(path, pattern, lambda match: f"{match[1]}{match[2]}@{_digest(match[2])}")
    for path in _workflows():
        yield from _rewritten(path, _ACTION, lambda match: f"{match[1]}{match[2]}{match[3]}{_action(match)}{match[5]}")
    name, path, _ = _model()
    yield from _rewritten(path, _MODEL, lambda match: f"{match[1]}{_head(f'{_HUB}/{name}', 'main')}{match[3]}")


def _rewritten(path: Path, pattern: re.Pattern[str], new: Callable[[re.Match[str]], str]) -> list[str]:
    faults = list[str]()

    def replaced(match: re.Match[str]) -> str:
        try:
            text = new(match)
        except NotFound as error:
            faults.append(f"{path.relative_to(ROOT)}: {error}")
            return match[0]
        if text != match[0]:
            print(f"{path.relative_to(ROOT)}: {text.strip()}")
        return text

    old = path.read_text()
    if (text := pattern.sub(replaced, old)) != old:
        path.write_text(text)
    return faults


def _digest(image: str) -> str:
    command = ("docker", "buildx", "imagetools", "inspect", image, "--format", "{{.Manifest.Digest}}")
    answer = _output(command, f"the digest of the image {image}").strip()
    if not re.fullmatch(_DIGEST, answer):
        raise NotFound(f"the digest of the image {image}: docker answered {answer[:80]!r}")
    return answer


def _action(match: re.Match[str]) -> str:
    """The commit of the action's version."""
    return _head(f"{_FORGE}/{match[2]}", f"refs/tags/{match[6]}")


def _head(repository: str, ref: str) -> str:
    """The commit that a branch or tag names. An annotated tag is an object of its own; `^{}` is what it points to."""
    answer = _output(("git", "ls-remote", repository, ref, f"{ref}^{{}}"), f"{ref} of {repository}")
    commits = re.findall(rf"^({_COMMIT})\t", answer, re.MULTILINE)
    if not commits:
        raise NotFound(f"{repository} has no {ref}")
    return str(commits[-1])


def _output(command: tuple[str, ...], what: str) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        raise NotFound(f"{what} could not be looked up: {said[-1][:160] if said else command[0]}") from error


def _image_files() -> Iterator[tuple[Path, re.Pattern[str]]]:
    return ((path, pattern) for glob, pattern in _IMAGES for path in sorted(ROOT.glob(glob)))


def _workflows() -> list[Path]:
    return sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def _model() -> tuple[str, Path, str]:
    """The default model's name, the file that has its revision, and the revision."""
    text = (ROOT / _MODEL_FILE).read_text()
    name = re.search(r'^DEFAULT_MODEL = "([^"]+)"$', text, re.MULTILINE)
    revision = _MODEL.search(text)
    assert name is not None and revision is not None
    return name[1], ROOT / _MODEL_FILE, revision[2]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
