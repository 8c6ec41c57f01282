"""The rotation of the services' token, by the script as it runs, over a gcloud that keeps the secret's versions."""

import os
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from deploy.plan import plan, script
from libs.internal_token import InternalToken, parse

GIVEN = {"PROJECT": "acme-ocr-1", "PROJECT_NUMBER": "123456789012", "TAG": "abc123"}
#: `STEPS` gets what happens, `VERSIONS` each version of the secret; `AGE` is that of the newest, in seconds.
GCLOUD = r"""#!/bin/bash
line="$*"
case "$*" in
  *"secrets versions access latest"*) tail -n 1 "$VERSIONS" ;;
  *"secrets versions add"*) value=$(cat); echo "$value" >> "$VERSIONS"; echo "version" >> "$STEPS" ;;
  *"secrets versions describe latest"*) echo "$(( $(date +%s) - AGE )).25" ;;
  *"run services update "*) echo "restart $4 ${5#--update-labels=}" >> "$STEPS" ;;
  *"tasks list"*) echo "$OLD_TASK" ;;
  *"scheduler jobs update http"*) echo "sweep ${line##*X-Internal-Token=}" >> "$STEPS" ;;
  *"scheduler jobs describe"*) ;;
  *) echo "unexpected: $*" >&2; exit 1 ;;
esac
"""
SERVICES = ("gnosis-ocr-web", "gnosis-ocr-extract", "gnosis-ocr-worker")


class Project:
    """A project with a deployment, as far as a rotation sees it."""

    def __init__(self, folder: Path, token: str) -> None:
        self._folder = folder
        (folder / "versions").write_text(f"{token}\n")
        (folder / "steps").touch()
        (folder / "gcloud").write_text(GCLOUD)
        (folder / "gcloud").chmod(0o755)

    @property
    def versions(self) -> list[str]:
        return (self._folder / "versions").read_text().split()

    @property
    def steps(self) -> list[str]:
        return (self._folder / "steps").read_text().splitlines()

    def run(self, stage: str, *, age: int = 0, old_task: str = "") -> subprocess.CompletedProcess[str]:
        environ = {
            "PATH": f"{self._folder}:{os.environ['PATH']}",
            "VERSIONS": str(self._folder / "versions"),
            "STEPS": str(self._folder / "steps"),
            "AGE": str(age),
            "OLD_TASK": old_task,
        }
        text = script(plan([stage], GIVEN))
        return subprocess.run(["bash", "-c", text], env=environ, capture_output=True, text=True, check=False)


def restarts(phase: str) -> list[str]:
    return [f"restart {name} token={phase}" for name in SERVICES]


async def test_no_service_sends_what_another_refuses_however_far_the_restarts_are(tmp_path: Path) -> None:
    project = Project(tmp_path, "first")
    for stage in ("rotate", "rotate-end", "rotate", "rotate-end"):
        ended = project.run(stage, age=10**6)
        assert ended.returncode == 0, ended.stderr
    versions = project.versions
    assert len(versions) == 7
    assert [len(parse(version)) for version in versions] == [1, 2, 2, 1, 2, 2, 1]
    assert len({versions[0], versions[3], versions[6]}) == 3, "each rotation makes a new token"
    # An instance may have started with the version before, or with this one.
    for neighbours in pairwise(versions):
        for sender in neighbours:
            for receiver in neighbours:
                assert await InternalToken(receiver).accepts(InternalToken(sender).value), (sender, receiver)


def test_every_service_is_restarted_before_the_next_step(tmp_path: Path) -> None:
    project = Project(tmp_path, "first")
    project.run("rotate")
    new = parse(project.versions[-1])[0]
    assert project.steps == ["version", *restarts("announced"), "version", *restarts("sent"), f"sweep {new} --quiet"]
    project.run("rotate-end", age=10**6)
    assert project.steps[9:] == ["version", *restarts("alone")]


async def test_a_rotation_that_was_interrupted_is_repeated_and_keeps_every_value_until_its_end(tmp_path: Path) -> None:
    project = Project(tmp_path, "new,first")
    project.run("rotate")
    assert all(set(parse(version)) >= {"new", "first"} for version in project.versions)
    for neighbours in pairwise(project.versions):
        for sender in neighbours:
            assert all([await InternalToken(receiver).accepts(InternalToken(sender).value) for receiver in neighbours])
    project.run("rotate-end", age=10**6)
    assert len(parse(project.versions[-1])) == 1


@pytest.mark.parametrize(
    ("age", "old_task", "advice"),
    [
        (7199 - 60, "", "less than 7200 s ago"),
        (10**6, "projects/p/locations/l/queues/q/tasks/t", "Tasks of ocr-processing may carry the token before"),
    ],
    ids=["too early", "a task waits"],
)
def test_the_token_before_is_not_ended_while_something_may_carry_it(
    tmp_path: Path, age: int, old_task: str, advice: str
) -> None:
    project = Project(tmp_path, "new,first")
    ended = project.run("rotate-end", age=age, old_task=old_task)
    assert ended.returncode == 1
    assert advice in ended.stderr
    assert project.versions == ["new,first"]
    assert project.steps == []


def test_the_plan_shows_no_token() -> None:
    text = script(plan(["rotate", "rotate-end"], GIVEN))
    assert "TOKENS=$(gcloud secrets versions access latest" in text
    assert 'printf %s "${NEW_TOKEN}","${TOKENS}" | gcloud secrets versions add' in text
