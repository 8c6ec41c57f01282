"""Which account of a deployment can read what, computed from the whole plan and from the manifests."""

import re
from typing import Any

import pytest
import yaml

from deploy import manifest
from deploy.plan import ALL, plan
from deploy.settings import DeploySettings
from libs.config import read
from libs.taskqueue.queue import EXTRACT_QUEUE, OCR_QUEUE, WEBHOOK_QUEUE

GIVEN = {"PROJECT": "acme-ocr-1", "PROJECT_NUMBER": "123456789012", "TAG": "abc123"}
SETTINGS = read(DeploySettings, GIVEN)
SERVICES = {"web": manifest.web, "extract": manifest.extract, "worker": manifest.worker}
IDENTITIES = [
    {},
    {"IDENTITY": "google", "GOOGLE_AUDIENCE": "7.example"},
    {
        "IDENTITY": "iap",
        "IAP_MEMBERS": "domain:a.example",
        "WORKER_DEVICE": "gpu",
        "MODEL_SOURCE": "mount",
        "TORCH_INDEX_URL": "https://wheels.example/cu126",
    },
]
#: What a role lets its holder do with the thing that it is granted on.
MEANING = {
    "roles/storage.objectUser": "read and write",
    "roles/storage.objectViewer": "read",
    "roles/secretmanager.secretAccessor": "read",
    "roles/cloudtasks.enqueuer": "enqueue",
    "roles/cloudtasks.viewer": "see",
    "roles/run.invoker": "call",
    "roles/iam.serviceAccountUser": "act as",
}
THINGS = {
    f"gs://{SETTINGS.bucket}": "jobs",
    f"gs://{SETTINGS.state_bucket}": "API keys",
    f"gs://{SETTINGS.model_bucket}": "models",
    SETTINGS.token_secret: "internal token",
    SETTINGS.operator_secret: "operator token",
    OCR_QUEUE: "ocr queue",
    EXTRACT_QUEUE: "extract queue",
    WEBHOOK_QUEUE: "webhook queue",
    SETTINGS.worker_service: "worker",
    SETTINGS.extract_service: "extract",
    SETTINGS.account(SETTINGS.tasks_account): "tasks account",
}
ACCOUNTS = {
    f"serviceAccount:{SETTINGS.account(name)}": label
    for label, name in {
        "web": SETTINGS.web_account,
        "extract": SETTINGS.extract_account,
        "worker": SETTINGS.worker_account,
        "tasks": SETTINGS.tasks_account,
    }.items()
}
#: The whole of it: account, thing, what it may do there. What is not listed is refused.
TABLE = {
    "web": {
        "jobs": {"read and write"},
        "API keys": {"read"},
        "internal token": {"read"},
        "operator token": {"read"},
        "ocr queue": {"enqueue", "see"},
        "extract queue": {"enqueue", "see"},
        "webhook queue": {"enqueue", "see"},
        "tasks account": {"act as"},
    },
    "extract": {
        "jobs": {"read and write"},
        "internal token": {"read"},
        "ocr queue": {"enqueue", "see"},
        "extract queue": {"enqueue", "see"},
        "webhook queue": {"enqueue", "see"},
        "tasks account": {"act as"},
    },
    "worker": {
        "jobs": {"read and write"},
        "models": {"read"},
        "internal token": {"read"},
        "operator token": {"read"},
        "ocr queue": {"enqueue"},
        "webhook queue": {"enqueue"},
        "tasks account": {"act as"},
    },
    "tasks": {"worker": {"call"}, "extract": {"call"}},
}


def access(**environ: str) -> dict[str, dict[str, set[str]]]:
    """account -> thing -> what it may do there. A role, thing or project-wide grant that is unknown here fails."""
    found: dict[str, dict[str, set[str]]] = {}
    for step in plan(ALL, GIVEN | environ):
        for command in step.commands:
            for line in command.lines():
                words = [word if isinstance(word, str) else word.before for word in line]
                if "add-iam-policy-binding" not in words:
                    continue
                member = next(word.removeprefix("--member=") for word in words if word.startswith("--member="))
                role = next(word.removeprefix("--role=") for word in words if word.startswith("--role="))
                if member not in ACCOUNTS:
                    continue  # users, and Google's own agents: tests/unit/deploy/test_plan.py
                thing = THINGS[words[words.index("add-iam-policy-binding") + 1]]
                found.setdefault(ACCOUNTS[member], {}).setdefault(thing, set()).add(MEANING[role])
    return found


def template(name: str, **environ: str) -> dict[str, Any]:
    made: dict[str, Any] = yaml.safe_load(SERVICES[name](read(DeploySettings, GIVEN | environ)))
    spec: dict[str, Any] = made["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("identity", IDENTITIES, ids=["keys", "google", "iap"])
def test_the_accounts_may_do_what_the_table_says_and_nothing_else(identity: dict[str, str]) -> None:
    assert access(**identity) == TABLE


@pytest.mark.parametrize("identity", IDENTITIES, ids=["keys", "google", "iap"])
def test_each_service_runs_as_its_own_account(identity: dict[str, str]) -> None:
    for name in SERVICES:
        assert ACCOUNTS[f"serviceAccount:{template(name, **identity)['serviceAccountName']}"] == name


@pytest.mark.parametrize("identity", IDENTITIES, ids=["keys", "google", "iap"])
@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_given_the_secrets_that_its_account_may_read_and_no_other_account_may_read_more(
    name: str, identity: dict[str, str]
) -> None:
    entries = template(name, **identity)["containers"][0]["env"]
    used = {THINGS[entry["valueFrom"]["secretKeyRef"]["name"]] for entry in entries if "valueFrom" in entry}
    secrets = {"internal token", "operator token"}
    assert used == {thing for thing in TABLE[name] if thing in secrets}


@pytest.mark.parametrize("identity", IDENTITIES, ids=["keys", "google", "iap"])
@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_told_of_the_buckets_that_its_account_reads_alone(name: str, identity: dict[str, str]) -> None:
    text = yaml.safe_dump(template(name, **identity))
    named = {thing for url, thing in THINGS.items() if re.search(rf"\b{url.removeprefix('gs://')}\b", text)}
    buckets = {"jobs", "API keys", "models"}
    assert named & buckets == TABLE[name].keys() & buckets


def test_only_web_which_opens_no_document_has_users_and_only_the_others_have_the_queues_routes() -> None:
    entries = {
        name: {entry["name"]: entry.get("value") for entry in template(name)["containers"][0]["env"]}
        for name in ("web", "extract")
    }
    assert entries["web"]["WEB_ROUTES"] == "public"
    assert entries["extract"]["WEB_ROUTES"] == "internal"
    assert "API_KEYS" not in entries["extract"]
