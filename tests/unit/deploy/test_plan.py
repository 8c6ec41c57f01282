import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy.command import Command, Secret
from deploy.foundation import lifecycle
from deploy.plan import ALL, STAGES, main, plan, script
from libs.config import ConfigError
from libs.taskqueue.queue import EXTRACT_QUEUE, OCR_QUEUE, WEBHOOK_QUEUE
from services.worker.modelcache.settings import DEFAULT_REVISION

GIVEN = {"PROJECT": "acme-ocr-1", "PROJECT_NUMBER": "123456789012", "TAG": "abc123"}
ACCOUNT = "serviceAccount:gnosis-ocr-{}@acme-ocr-1.iam.gserviceaccount.com"


def commands(*stages: str, **environ: str) -> list[Command]:
    return [command for step in plan(stages, GIVEN | environ) for command in step.commands]


def texts(*stages: str, **environ: str) -> list[str]:
    """Every command line, its words joined by blanks."""
    return [
        " ".join(word if isinstance(word, str) else word.before for word in line)
        for command in commands(*stages, **environ)
        for line in command.lines()
    ]


def grants(*stages: str, **environ: str) -> set[tuple[str, str, str]]:
    """(thing, account, role) of every binding."""
    found = set()
    for text in texts(*stages, **environ):
        if match := re.search(r" add-iam-policy-binding (?:(\S+) )?.*--member=(\S+) --role=(\S+)", text):
            found.add((match[1] or "", match[2], match[3]))
    return found


def run(text: str) -> str:
    return subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True).stdout


def test_every_stage_makes_a_script_that_bash_can_read() -> None:
    for stage in STAGES:
        text = script(plan([stage], GIVEN | {"SERVICE": "web", "REVISION": "r-1", "DELETE_DATA": "yes"}))
        subprocess.run(["bash", "-n"], input=text, text=True, check=True)


def test_no_account_has_more_than_it_needs_and_none_has_a_role_on_the_project() -> None:
    web, extract, worker, tasks = (ACCOUNT.format(name) for name in ("web", "extract", "worker", "tasks"))
    bucket, state, models = (f"gs://acme-ocr-1-gnosis-ocr-{name}" for name in ("storage", "state", "models"))
    pusher = tasks.removeprefix("serviceAccount:")
    secret, operator = "gnosis-ocr-internal-token", "gnosis-ocr-operator-token"

    assert grants(*ALL) == {
        (bucket, web, "roles/storage.objectUser"),
        (bucket, extract, "roles/storage.objectUser"),
        (bucket, worker, "roles/storage.objectUser"),
        (state, web, "roles/storage.objectViewer"),
        (models, worker, "roles/storage.objectViewer"),
        (OCR_QUEUE, web, "roles/cloudtasks.enqueuer"),
        (OCR_QUEUE, web, "roles/cloudtasks.viewer"),
        (EXTRACT_QUEUE, web, "roles/cloudtasks.enqueuer"),
        (EXTRACT_QUEUE, web, "roles/cloudtasks.viewer"),
        (OCR_QUEUE, extract, "roles/cloudtasks.enqueuer"),
        (OCR_QUEUE, extract, "roles/cloudtasks.viewer"),
        (EXTRACT_QUEUE, extract, "roles/cloudtasks.enqueuer"),
        (EXTRACT_QUEUE, extract, "roles/cloudtasks.viewer"),
        (WEBHOOK_QUEUE, web, "roles/cloudtasks.enqueuer"),
        (WEBHOOK_QUEUE, web, "roles/cloudtasks.viewer"),
        (WEBHOOK_QUEUE, extract, "roles/cloudtasks.enqueuer"),
        (WEBHOOK_QUEUE, extract, "roles/cloudtasks.viewer"),
        (OCR_QUEUE, worker, "roles/cloudtasks.enqueuer"),
        (WEBHOOK_QUEUE, worker, "roles/cloudtasks.enqueuer"),
        (pusher, web, "roles/iam.serviceAccountUser"),
        (pusher, extract, "roles/iam.serviceAccountUser"),
        (pusher, worker, "roles/iam.serviceAccountUser"),
        (secret, web, "roles/secretmanager.secretAccessor"),
        (secret, extract, "roles/secretmanager.secretAccessor"),
        (secret, worker, "roles/secretmanager.secretAccessor"),
        (operator, web, "roles/secretmanager.secretAccessor"),
        (operator, worker, "roles/secretmanager.secretAccessor"),
        ("gnosis-ocr-worker", tasks, "roles/run.invoker"),
        ("gnosis-ocr-extract", tasks, "roles/run.invoker"),
        ("gnosis-ocr-web", "allUsers", "roles/run.invoker"),
    }
    assert not [text for text in texts(*ALL) if "projects add-iam" in text]


def test_behind_the_identity_proxy_only_the_proxy_reaches_web() -> None:
    found = grants("web", IDENTITY="iap", IAP_MEMBERS="domain:example.com,user:jo@example.org")

    assert {member for thing, member, _ in found if thing == "gnosis-ocr-web"} == {
        "serviceAccount:service-123456789012@gcp-sa-iap.iam.gserviceaccount.com"
    }
    assert {member for _, member, role in found if role == "roles/iap.httpsResourceAccessor"} == {
        "domain:example.com",
        "user:jo@example.org",
    }
    assert not [member for _, member, _ in found if member == "allUsers"]


def test_nothing_wipes_the_variables_of_a_service_or_shows_a_secret() -> None:
    assert not [text for text in texts(*STAGES, SERVICE="web", REVISION="r-1") if "--set-env-vars" in text]
    text = script(plan(["sweep"], GIVEN))
    assert 'X-Internal-Token="$(gcloud secrets versions access latest --secret=gnosis-ocr-internal-token' in text


def test_a_queue_that_exists_is_updated_and_one_that_does_not_is_created() -> None:
    made = {command.words[4]: command for command in commands("queue") if command.unless}

    assert list(made) == [OCR_QUEUE, EXTRACT_QUEUE, WEBHOOK_QUEUE]
    for name, command in made.items():
        assert [line[1:5] for line in command.lines()] == [
            ("tasks", "queues", "describe", name),
            ("tasks", "queues", "update", name),
            ("tasks", "queues", "create", name),
        ]


def test_the_sweep_calls_the_private_service_as_the_queues_account() -> None:
    create = next(text for text in texts("sweep") if " create " in text)

    assert "--uri=https://gnosis-ocr-extract-123456789012.europe-west4.run.app/internal/sweep" in create
    assert "--oidc-token-audience=https://gnosis-ocr-extract-123456789012.europe-west4.run.app " in create
    assert f"--oidc-service-account-email={ACCOUNT.format('tasks').removeprefix('serviceAccount:')}" in create


def test_retention_is_a_rule_on_what_users_own_and_is_off_until_asked_for() -> None:
    rules = json.loads(lifecycle(90))["rule"]

    assert rules == [{"action": {"type": "Delete"}, "condition": {"age": 90, "matchesPrefix": ["users/"]}}]
    assert [text for text in texts("setup") if text.endswith("--clear-lifecycle --quiet")]
    kept = next(command for command in commands("setup", RETENTION_DAYS="90") if command.text)
    assert yaml.safe_load(kept.text)["rule"] == rules


def test_data_is_removed_only_when_asked_for_by_name() -> None:
    assert not [text for text in texts("down") if "gs://" in text]
    assert len([text for text in texts("down", DELETE_DATA="yes") if "storage rm --recursive gs://" in text]) == 3


def test_a_rollback_asks_which_service_and_which_revision() -> None:
    with pytest.raises(ConfigError, match="make deploy-revisions"):
        plan(["rollback"], GIVEN)
    (text,) = texts("rollback", SERVICE="worker", REVISION="gnosis-ocr-worker-00007-abc")
    assert "update-traffic gnosis-ocr-worker --to-revisions=gnosis-ocr-worker-00007-abc=100" in text


def test_a_gpu_image_needs_the_index_of_its_wheels() -> None:
    with pytest.raises(ConfigError, match="TORCH_INDEX_URL"):
        plan(["images"], GIVEN | {"WORKER_DEVICE": "gpu"})
    built = texts("images", WORKER_DEVICE="gpu", TORCH_INDEX_URL="https://wheels.example/cu126")
    assert [text for text in built if "worker-gpu:abc123;_EXTRAS=worker,cpu,gpu,gcp;" in text]


def test_a_command_runs_only_where_it_is_wanted() -> None:
    made = Command(words=("echo", "made"), unless=("true",))
    assert run(made.script()) == ""
    assert run(Command(words=("echo", "made"), unless=("false",)).script()) == "made\n"
    for there, done in (("true", "old\n"), ("false", "new\n")):
        either = Command(words=("echo", "new"), unless=(there,), instead=("echo", "old"))
        assert run(either.script()) == done
    assert run(Command(words=("echo", "gone"), where=("true",)).script()) == "gone\n"
    assert run(Command(words=("echo", "gone"), where=("false",)).script()) == ""


def test_words_and_texts_reach_their_command_unchanged() -> None:
    word = """it's $HOME "and" `more`; * \\"""
    assert run(Command(words=("printf", "%s", word)).script()) == word
    assert run(Command(words=("cat",), text=word).script()) == f"{word}\n"
    assert run(Command(words=("cat",), fed_by=("printf", "%s", word)).script()) == word


def test_a_secret_is_fetched_when_the_command_runs(tmp_path: Path) -> None:
    gcloud = tmp_path / "gcloud"
    gcloud.write_text('#!/bin/sh\ncase "$*" in *--secret=mine*) echo "a b";; esac\n')
    gcloud.chmod(0o755)
    text = Command(words=("printf", "<%s>", Secret(before="--x=", name="mine", project="p"))).script()

    assert "a b" not in text
    assert run(f"PATH={tmp_path}:$PATH\n{text}") == "<--x=a b>"


def test_the_plan_is_printed_whole_and_a_wrong_setting_by_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)
    assert main([]) == 0
    assert capsys.readouterr().out == script(plan(ALL, GIVEN))

    monkeypatch.setenv("REGION", "nowhere")
    assert main(["web"]) == 2
    assert capsys.readouterr().err.startswith("gnosis-ocr deploy: REGION='nowhere'")


@pytest.mark.parametrize(("revision", "parts"), [("main", 2), ("0123456789" * 4, 1)], ids=["branch", "commit"])
def test_the_models_ref_is_copied_last_and_a_commit_has_none(revision: str, parts: int) -> None:
    copies = [text for text in texts("models", MODEL_REVISION=revision) if " storage cp " in text]

    assert len(copies) == parts
    assert "/snapshots " in copies[0]
    assert all("/refs " in text for text in copies[1:])


def test_the_model_is_built_into_the_image_only_where_it_is_asked_for() -> None:
    gpu = {"WORKER_DEVICE": "gpu", "TORCH_INDEX_URL": "https://wheels.example/cu126"}
    _, web, plain = texts("images", **gpu)
    baked = texts("images", **gpu, MODEL_SOURCE="image")[-1]

    assert ";_MODEL_NAME=;" in web
    assert ";_MODEL_NAME=;" in plain
    assert f";_MODEL_NAME=nanonets/Nanonets-OCR-s;_MODEL_REVISION={DEFAULT_REVISION}" in baked


def test_images_are_named_by_what_the_repository_says_and_the_script_asks_it() -> None:
    asking = "gcloud() { echo registry.example/acme; }; set -u\n"
    (build, *_), (private, *_) = (
        [command for command in commands(stage) if "${IMAGE_REGISTRY}" in f"{command.words}{command.text}"]
        for stage in ("images", "web")
    )
    ask = next(command for command in commands("web") if command.into)
    built = run(f"{asking}{ask.script()}; gcloud() {{ printf '%s\\n' \"$@\"; }}; {build.script()}")
    assert ";_IMAGE=registry.example/acme/web:abc123;" in built
    shown = run(f"{asking}{ask.script()}; gcloud() {{ cat; }}; {private.script()}")
    image = yaml.safe_load(shown)["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == "registry.example/acme/web:abc123"


def test_a_registry_that_is_named_is_not_asked_for() -> None:
    named = {"IMAGE_REGISTRY": "registry.example/acme"}
    assert not [command for command in commands("images", "worker", "web", **named) if command.into]
    assert any("_IMAGE=registry.example/acme/web:abc123" in text for text in texts("images", **named))


def test_what_a_shell_would_take_for_its_own_in_a_text_stays_as_it_is() -> None:
    text = "a: ${IMAGE_REGISTRY}/x\nb: $HOME `id` \\n $(id)"
    assert (
        run("IMAGE_REGISTRY=r\n" + Command(words=("cat",), text=text).script())
        == text.replace("${IMAGE_REGISTRY}", "r") + "\n"
    )


def test_browsers_may_send_files_to_the_bucket_from_the_pages_of_web_alone() -> None:
    update = next(
        command
        for command in commands("setup", WEB_ORIGINS="https://ocr.example.com")
        if "--cors-file=/dev/stdin" in command.words
    )
    (rule,) = json.loads(update.text)
    assert rule["origin"] == ["https://gnosis-ocr-web-123456789012.europe-west4.run.app", "https://ocr.example.com"]
    assert rule["method"] == ["PUT"]
