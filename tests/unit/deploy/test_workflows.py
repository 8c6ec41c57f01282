"""The workflows and hooks, as far as their text tells."""

import re
import tomllib
from typing import Any

import pytest
import yaml

from tests import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
DEV: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["dev"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_commit_and_names_its_version(workflow: Any) -> None:
    lines = [line for line in workflow.read_text().splitlines() if "uses:" in line]

    assert lines
    for line in lines:
        assert re.fullmatch(r" +- uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_only_the_release_writes_and_each_of_its_jobs_no_more_than_it_needs() -> None:
    jobs = {path.name: yaml.safe_load(path.read_text())["jobs"] for path in WORKFLOWS}
    writes = {
        f"{file} {name}": {right for right, level in job.get("permissions", {}).items() if level == "write"}
        for file, each in jobs.items()
        for name, job in each.items()
    }
    attested = {"id-token", "attestations"}
    assert writes.pop("release.yml images") == attested | {"packages"}
    assert writes.pop("release.yml files") == attested | {"contents"}
    assert not any(writes.values())


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_read_the_code_and_write_nothing(workflow: Any) -> None:
    permissions = yaml.safe_load(workflow.read_text())["permissions"]

    assert permissions.pop("contents") == "read"
    assert set(permissions) <= {"id-token"}


@pytest.mark.parametrize(
    "form", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[bf]*.yml")), ids=lambda path: path.name
)
def test_an_issue_form_has_what_the_forge_asks_of_one(form: Any) -> None:
    asked = yaml.safe_load(form.read_text())

    assert {"name", "description", "body"} <= set(asked)
    fields = [field for field in asked["body"] if field["type"] != "markdown"]
    assert all(field["attributes"]["label"] for field in fields)
    assert len({field["id"] for field in fields}) == len(fields)


def test_every_hook_runs_a_tool_that_the_development_environment_has() -> None:
    repos = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    installed = {re.split(r"[<>=~ ]", requirement)[0] for requirement in DEV}

    assert [repo["repo"] for repo in repos] == ["local"]
    tools = {hook["entry"].split()[0].removeprefix(".venv/bin/") for hook in repos[0]["hooks"]}
    assert {{"lint-imports": "import-linter"}.get(tool, tool) for tool in tools} <= installed
