"""Alerts and dashboard ask for metrics that the services have, with labels that those have."""

import asyncio
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import yaml
from starlette.types import Message, Receive, Scope, Send

from libs.jobstate.outcome import OutcomeStatus, PageOutcome
from libs.jobstate.status import JobStatus
from libs.taskqueue.local import LocalQueue
from libs.taskqueue.queue_settings import read_queue_settings
from services.serving.metrics import Requests, new_registry
from services.web.metrics import Backlog, Survey, WebMetrics
from services.worker.engines.engine import EngineInfo
from services.worker.engines.execution import Execution
from services.worker.metrics import WorkerMetrics
from tests import ROOT

DEPLOY = ROOT / "deploy"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """An app."""


async def ask() -> Message:
    return {"type": "http.request"}


async def tell(message: Message) -> None:
    """To nobody."""


@pytest.fixture(scope="module")
def samples() -> dict[str, set[str]]:
    """Every sample of both services, and its labels."""
    registry = new_registry()
    worker, web = WorkerMetrics(registry), WebMetrics(registry)
    worker.page(PageOutcome(page_no=1, run=1, status=OutcomeStatus.COMPLETED, engine="e"))
    worker.batch("done")
    worker.loaded(EngineInfo(name="e", revision="1", device="d", execution=Execution(kernel="k")), 1.0)
    web.upload("pdf", 1)
    web.rendered(failed=False)
    asyncio.run(Requests(nothing, registry=registry, routes=[])({"type": "http", "method": "GET"}, ask, tell))
    queues = read_queue_settings(DEPLOY / "queue.yaml")
    queue = LocalQueue(queues, dict.fromkeys(queues, "http://127.0.0.1:9"))  # not started: it only counts
    seen = Survey(at=NOW, jobs={JobStatus.QUEUED: 1}, waiting_seconds=0.0, quiet_seconds=0.0)
    registry.register(Backlog(queue, lambda: seen))
    return {sample.name: set(sample.labels) for family in registry.collect() for sample in family.samples}


def expressions() -> Iterator[tuple[str, str]]:
    for group in yaml.safe_load((DEPLOY / "monitoring" / "alerts.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for panel in json.loads((DEPLOY / "monitoring" / "dashboard.json").read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


@pytest.mark.parametrize(("name", "expression"), list(expressions()), ids=range(len(list(expressions()))))
def test_expression_asks_for_what_the_services_tell(name: str, expression: str, samples: dict[str, set[str]]) -> None:
    asked = set(re.findall(r"\b(?:gnosis|process)_[a-z_]+", expression))
    assert asked, name
    assert asked <= samples.keys(), name
    known = {"le", "instance"}.union(*(samples[metric] for metric in asked))
    grouped = {label.strip() for by in re.findall(r"by \(([^)]*)\)", expression) for label in by.split(",")}
    selected = {label for braces in re.findall(r"\{([^}]*)\}", expression) for label in re.findall(r"(\w+)=", braces)}
    assert grouped | selected <= known, name


def test_a_metric_that_does_not_exist_would_be_noticed(samples: dict[str, set[str]]) -> None:
    assert "gnosis_pages_total" in samples
    assert "gnosis_pages" not in samples
