"""The pages name files, modules, targets and headings that exist."""

import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests import ROOT

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), ROOT / "clients" / "python" / "README.md"]
PLACES = ("services", "libs", "clients", "tests", "bench", "deploy", "docs", "examples", ".github", ".ci")
# Named as a module of another project, or as a stored file.
NOT_OURS = re.compile(r"^(__main__|package|test_name)\.py$")
# The history of what was.
HISTORY = {"CHANGELOG.md"}


@cache
def files() -> dict[str, list[Path]]:
    """Our files by their name."""
    found: dict[str, list[Path]] = {}
    for place in PLACES:
        for path in (ROOT / place).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                found.setdefault(path.name, []).append(path)
    return found


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.fixture(params=[page for page in PAGES if page.name not in HISTORY], ids=lambda page: page.name)
def page(request: pytest.FixtureRequest) -> Path:
    """Each page in turn."""
    found: Path = request.param
    return found


def test_every_file_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(r"`((?:[\w.*-]+/)*[\w.*-]+(?:\.py|\.ya?ml|\.js|/))`", page.read_text()))
    ours = {name for name in named if name.split("/")[0] in PLACES}
    bare = {name for name in named - ours if "/" not in name and name.endswith(".py") and not NOT_OURS.match(name)}

    assert {name for name in ours if not list(ROOT.glob(name))} == set()
    assert {name for name in bare if name not in files()} == set()


def test_every_function_and_class_of_a_module_that_the_tour_names_exists() -> None:
    """Named as `module.name` or `room/module.Class.method`."""
    tour = (ROOT / "docs" / "architecture.md").read_text()
    named = re.findall(r"`(?:\w+/)*(\w+)\.(\w+)(?:\.(\w+))?`", tour)
    parts = [
        (module, part)
        for module, *names in named
        if f"{module}.py" in files()
        for part in names
        if part not in ("py", "json")
    ]

    assert len(parts) > 10
    for module, part in parts:
        code = "".join(path.read_text() for path in files()[f"{module}.py"])
        assert not part or re.search(rf"^ *(?:class|(?:async )?def) {part}\b", code, re.MULTILINE), (module, part)


def test_every_link_between_pages_leads_to_a_page_and_a_heading(page: Path) -> None:
    broken = set()
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        if not linked.exists() or (anchor and anchor not in headings(linked)):
            broken.add(target)
    assert broken == set()


def test_the_table_of_asvs_has_every_requirement_of_two_levels_once() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    states: dict[str, str] = {}
    for first, last, state in re.findall(
        r"^\| (V[\d.]+)(?: to (V[\d.]+))? \| (met|not met|n/a) \|", text, re.MULTILINE
    ):
        section, start = first.rsplit(".", 1)
        end = (last or first).rsplit(".", 1)[1]
        for number in range(int(start), int(end) + 1):
            assert f"{section}.{number}" not in states
            states[f"{section}.{number}"] = state
    counts = Counter(states.values())
    said = re.search(r"(\d+) met, (\d+) not met, (\d+) not applicable, of (\d+)", text)
    assert said is not None
    assert [int(number) for number in said.groups()] == [*(counts[s] for s in ("met", "not met", "n/a")), len(states)]
    assert len(states) == 70 + 183, "levels 1 and 2 of version 5.0.0"


def test_every_command_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    targets |= {
        word
        for line in re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
        for word in line.split()
    }
    named = set(re.findall(r"`make ([a-z-]+)", text)) | set(re.findall(r"^make ([a-z-]+)", text, re.MULTILINE))
    modules = set(re.findall(r"python -m ((?:services|libs|tests|bench|deploy)[\w.]*)", text))

    assert named <= targets
    for module in modules:
        path = ROOT.joinpath(*module.split("."))
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module
