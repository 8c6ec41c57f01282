"""Where installations come from: locked requirements, pins, and the check for known vulnerabilities."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

from deploy import advisories, lock, pin
from tests import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]


def plain(name: str) -> str:
    """A package's name as requirements have it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {plain(name): version for name, _, version in (line.partition("==") for line in lines) if version}


def locked(name: str) -> dict[str, tuple[str, int]]:
    """Each package of a file: its version and how many hashes it has."""
    blocks = re.split(r"^(?=[a-z0-9])", (ROOT / "requirements" / f"{name}.txt").read_text(), flags=re.MULTILINE)[1:]
    found = {}
    for block in blocks:
        match = re.match(r"([a-z0-9-]+)==([^\s;]+)", block)
        assert match, block
        found[match[1]] = (match[2], block.count("--hash=sha256:"))
    return found


def needed(extra: str) -> set[str]:
    """The packages that an extra names, those of the extras that it includes too."""
    names = set()
    for requirement in EXTRAS[extra]:
        if included := re.match(r"gnosis-ocr\[(.+)\]$", requirement):
            names |= {name for other in included[1].split(",") for name in needed(other)}
        else:
            names.add(plain(re.split(r"[\[<>=~! ]", requirement)[0]))
    return names


@pytest.mark.parametrize("name", lock.INSTALLATIONS)
def test_requirements_have_every_package_of_their_extras_in_the_known_version_with_its_hashes(name: str) -> None:
    found, versions = locked(name), constraints()
    direct = {plain(re.split(r"[\[<>=~! ]", line)[0]) for line in PROJECT["project"]["dependencies"]}
    direct |= {package for extra in lock.INSTALLATIONS[name] for package in needed(extra)} | {"setuptools"}

    assert direct - {"torch"} <= set(found), "run `make lock`"
    assert all(hashes for _, hashes in found.values())
    differing = {package for package, (version, _) in found.items() if versions.get(package, version) != version}
    assert not differing, "run `make lock`"
    assert not [package for package in found if lock.UNLOCKED.match(f"{package}==")]


def test_every_package_of_the_constraints_is_locked_but_the_builds_of_pytorch() -> None:
    everywhere = {package for name in lock.INSTALLATIONS for package in locked(name)}
    assert set(constraints()) - everywhere == {"torch"}


def test_what_depends_on_the_device_is_left_out_of_the_locks() -> None:
    numpy, torch, cuda = (
        f"{package} \\\n    --hash=sha256:aa\n" for package in ("numpy==2.4.6", "torch==2.13.0", "nvidia-cublas==13")
    )
    assert lock._locked(numpy + torch + cuda) == numpy


def test_a_lock_that_uv_refuses_changes_nothing_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lock, "ROOT", tmp_path)
    monkeypatch.setattr(lock, "FOLDER", tmp_path / "requirements")
    (tmp_path / "pyproject.toml").write_text('[build-system]\nrequires = ["setuptools"]\n')
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "run.txt").write_text("as it was\n")
    for uv in (written(tmp_path, "sys.exit('no solution found')"), str(tmp_path / "is-not-there")):
        assert lock.main([uv]) == 1
        assert [path.read_text() for path in (tmp_path / "requirements").iterdir()] == ["as it was\n"]
        assert "run `make lock` again" in capsys.readouterr().err


def test_all_is_pinned_but_images_that_have_not_been_looked_up() -> None:
    assert all(re.search(r"the image [\w.:-]+ has no digest$", line) for line in pin.unpinned())


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one image, one action and the model, whose look-ups are answered by programs of the test."""
    monkeypatch.setattr(pin, "ROOT", tmp_path)
    files = {
        "services/web/Dockerfile": "ARG PYTHON_IMAGE=python:3.11-slim\nFROM ${PYTHON_IMAGE}\n",
        ".github/workflows/ci.yml": f"      - uses: acme/build@{'a' * 40} # v1.2.3\n      - uses: acme/other@v2\n",
        "services/worker/modelcache/settings.py": 'DEFAULT_MODEL = "acme/Reader"\nDEFAULT_REVISION = "main"\n',
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    return tmp_path


def program(copy: Path, name: str, text: str) -> None:
    (copy / "bin" / name).write_text(f"#!{sys.executable}\nimport sys\n{text}\n")
    (copy / "bin" / name).chmod(0o755)


def test_what_is_not_pinned_is_named(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pin.main(["--check"]) == 1
    said = capsys.readouterr()
    assert "make pin" in said.err
    assert said.out.splitlines() == [
        "services/web/Dockerfile: the image python:3.11-slim has no digest",
        ".github/workflows/ci.yml: - uses: acme/other@v2 names no commit and version",
        "services/worker/modelcache/settings.py: the default model's revision is no commit",
    ]


def test_pins_are_looked_up_and_written(copy: Path) -> None:
    program(copy, "docker", f"assert sys.argv[4] == 'python:3.11-slim'; print('sha256:{'d' * 64}')")
    # An annotated tag: the second line has the commit.
    program(copy, "git", f"print('{'b' * 40}\\t' + sys.argv[3]); print('{'c' * 40}\\t' + sys.argv[4])")
    assert pin.main([]) == 0
    assert f"python:3.11-slim@sha256:{'d' * 64}\n" in (copy / "services/web/Dockerfile").read_text()
    assert f"acme/build@{'c' * 40} # v1.2.3\n" in (copy / ".github/workflows/ci.yml").read_text()
    assert f'DEFAULT_REVISION = "{"c" * 40}"\n' in (copy / "services/worker/modelcache/settings.py").read_text()


def test_what_cannot_be_looked_up_stays_and_is_named(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program(copy, "docker", "sys.exit('no such host')")
    before = {path: path.read_text() for path in copy.rglob("*") if path.is_file()}
    assert pin.main([]) == 1
    assert before == {path: path.read_text() for path in copy.rglob("*") if path.is_file()}
    named, advice = capsys.readouterr()
    assert "run it again" in advice
    assert "python:3.11-slim could not be looked up: no such host" in named
    assert "acme/build" in named
    assert "acme/Reader" in named


REPORT = '{"dependencies": [{"name": "a", "version": "1", "vulns": %s}, {"name": "b", "version": "2", "vulns": []}]}'
FOUND = '[{"id": "X-1", "fix_versions": ["1.1"]}]'


def written(tmp_path: Path, text: str) -> str:
    """A program of the test, which uv or pip-audit is taken for."""
    path = tmp_path / "program"
    path.write_text(f"#!{sys.executable}\nimport sys, pathlib\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("vulnerable", "code", "said"),
    [("[]", 0, ", 0 with known vulnerabilities"), (FOUND, 1, "  a 1: X-1; fixed in 1.1")],
)
def test_a_known_vulnerability_fails_the_audit(
    vulnerable: str, code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write = (
        f"pathlib.Path(sys.argv[sys.argv.index('--output') + 1]).write_text({REPORT % vulnerable!r}); sys.exit({code})"
    )
    assert advisories.main([written(tmp_path, write), sys.executable]) == code
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(("required", "code"), [("", 0), ("1", 1)])
def test_an_audit_that_could_not_be_done_says_so_and_fails_where_it_is_required(
    required: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GNOSIS_REQUIRE_AUDIT", required)
    assert advisories.main([written(tmp_path, "sys.exit('Failed to resolve the host')"), sys.executable]) == code
    assert "audit: NOT DONE for" in capsys.readouterr().out
