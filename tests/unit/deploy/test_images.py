"""The images and how compose runs them, as far as their text tells."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from libs.config import read, variables
from services.serving.entrypoint import EntrypointSettings
from services.serving.supervisor import Timings
from services.web.config import WebConfig
from services.worker.config import WorkerConfig
from tests import ROOT

CONFIGS: dict[str, type[WebConfig | WorkerConfig]] = {"web": WebConfig, "worker": WorkerConfig}
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def dockerfile(name: str) -> str:
    return (ROOT / "services" / name / "Dockerfile").read_text()


def known(name: str) -> set[str]:
    return set(variables(CONFIGS[name])) | set(variables(EntrypointSettings))


@pytest.mark.parametrize("name", CONFIGS)
def test_an_image_is_pinned_and_does_not_run_as_root(name: str) -> None:
    text = dockerfile(name)

    stages = set(re.findall(r"^FROM \S+ AS (\S+)", text, re.MULTILINE))
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) - stages == {"${PYTHON_IMAGE}"}
    assert re.search(r"^ARG PYTHON_IMAGE=python:3\.\d+-slim-\w+(@sha256:[0-9a-f]{64})?$", text, re.MULTILINE)
    assert re.findall(r"^USER (\S+)", text, re.MULTILINE)[-1] == "1000:1000"
    installs = re.findall(r"^.*\$pip (.+)$", text, re.MULTILINE)
    assert len(installs) >= 2
    # The project itself, and PyTorch, of which the version is locked.
    by_hash = [line for line in installs if line.startswith("--require-hashes --no-deps")]
    assert by_hash
    assert all(
        line.startswith("--no-deps --no-build-isolation .") or line.split(" \\")[0].endswith("constraints.txt torch")
        for line in installs
        if line not in by_hash
    )


def test_the_image_of_web_installs_no_engine_and_holds_no_worker() -> None:
    text = dockerfile("web")

    assert re.findall(r"requirements/(\w+)\.txt", text) == ["web"]
    assert not re.search(r"^COPY .*(services/worker|services services|\. \.)", text, re.MULTILINE)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_folder_and_module_that_an_image_copies_is_there_and_so_is_the_queue_file(name: str) -> None:
    sources = [
        word
        for line in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile(name), re.MULTILINE)
        for word in line.split()
    ]

    assert all(list(ROOT.glob(source)) for source in sources)
    assert CONFIGS[name]().queue_file in sources


@pytest.mark.parametrize("name", CONFIGS)
def test_an_image_holds_every_module_that_its_own_modules_import(name: str) -> None:
    last_stage = dockerfile(name).rpartition("\nFROM ")[2]
    copied = {
        file
        for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", last_stage, re.MULTILINE)
        for pattern in sources.split()
        for found in ROOT.glob(pattern)
        for file in ([found] if found.is_file() else found.rglob("*.py"))
    }
    missing = {
        f"{file.relative_to(ROOT)}: {module}"
        for file in copied
        if file.suffix == ".py"
        for module in imported(file)
        if not {(path := ROOT.joinpath(*module.split("."))).with_suffix(".py"), path / "__init__.py"} & copied
    }
    assert missing == set()


def imported(file: Path) -> set[str]:
    """The modules of ours that the file imports, anywhere in it."""
    modules = set[str]()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            # What is imported from a package may be a module of it.
            package = ROOT.joinpath(*node.module.split("."))
            names = [name.name for name in node.names if package.joinpath(name.name).with_suffix(".py").exists()]
            modules |= {f"{node.module}.{name}" for name in names} or {node.module}
        elif isinstance(node, ast.Import):
            modules |= {name.name for name in node.names}
    return {module for module in modules if module.split(".")[0] in ("services", "libs")}


@pytest.mark.parametrize("name", CONFIGS)
def test_compose_gives_each_service_variables_that_it_reads_and_no_rights_beyond_its_own(name: str) -> None:
    service = COMPOSE["services"][name]

    assert set(service["environment"]) <= known(name)
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["user"] == "${GNOSIS_UID:-1000}:${GNOSIS_GID:-1000}"
    assert service["restart"] == "unless-stopped"
    # The supervisor has the time to end the service in good order.
    assert float(service["stop_grace_period"].removesuffix("s")) > Timings().stop
    assert "./storage:/storage" in service["volumes"]


@pytest.mark.parametrize("name", CONFIGS)
def test_compose_passes_settings_on_with_their_defaults(name: str) -> None:
    passed = re.compile(r"\$\{(\w+):-(.*)\}")
    environment: dict[str, str] = COMPOSE["services"][name]["environment"]
    found = {key: match for key, value in environment.items() if (match := passed.fullmatch(value))}

    assert {key: match[1] for key, match in found.items()} == {key: key for key in found}
    for kind in (CONFIGS[name], EntrypointSettings):
        assert read(kind, {key: match[2] for key, match in found.items()}) == read(kind, {})


def test_what_compose_passes_on_is_documented() -> None:
    names = set(re.findall(r"\$\{(\w+):-", (ROOT / "docker-compose.yml").read_text()))
    assert {"OCR_LANGUAGES", "OCR_MODEL_FOLDER", "RETENTION_DAYS"} <= names
    documented = (ROOT / "docs" / "deploy.md").read_text()
    assert [name for name in sorted(names) if f"`{name}`" not in documented] == []


def test_compose_publishes_on_this_machine_alone() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:${WEB_PORT:-7799}:7799"]


def test_in_compose_the_worker_reaches_web_under_a_name_that_web_answers_to() -> None:
    web, worker = (COMPOSE["services"][name]["environment"] for name in CONFIGS)

    assert worker["QUEUE_URL"] == f"http://{web['ALLOWED_HOSTS']}:7799"
    assert web["ALLOWED_HOSTS"] in COMPOSE["services"]
    assert web["WORKER_URL"] == worker["WORKER_URL"] == "http://worker:7800"
