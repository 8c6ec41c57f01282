import msgspec
import pytest

from deploy.settings import GIB, DeploySettings, check
from libs.config import ConfigError, read
from libs.taskqueue.queue import EXTRACT_QUEUE, OCR_QUEUE
from libs.taskqueue.queue_settings import QueueSettings, read_queue_settings
from tests import ROOT

SHIPPED = read_queue_settings(ROOT / "deploy" / "queue.yaml")
GIVEN = {"PROJECT": "acme-ocr-1", "PROJECT_NUMBER": "123456789012"}


def wider(queue: str, dispatches: int) -> dict[str, QueueSettings]:
    """The shipped queues, one of which delivers more at once."""
    return SHIPPED | {queue: msgspec.structs.replace(SHIPPED[queue], max_concurrent_dispatches=dispatches)}


def refusal(queues: dict[str, QueueSettings] = SHIPPED, /, **environ: str) -> str:
    """The error with which a deployment is refused; empty for a valid one."""
    try:
        check(read(DeploySettings, GIVEN | environ), queues)
    except ConfigError as error:
        return str(error)
    return ""


def test_the_defaults_go_together_and_with_the_shipped_queues() -> None:
    assert refusal() == ""
    assert refusal(WORKER_DEVICE="gpu") == ""
    assert refusal(WORKER_DEVICE="gpu", WORKER_GPU="nvidia-rtx-pro-6000") == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PROJECT", "Acme"),
        ("PROJECT_NUMBER", "12a"),
        ("REGION", "europe"),
        ("TAG", "a:b"),
        ("WEB_SERVICE", "web; rm"),
        ("IDENTITY", "header"),
        ("GOOGLE_AUDIENCE", "a'\n- name: X"),
        ("IAP_MEMBERS", "user:a b"),
        ("WORKER_GPU", "h100"),
        ("WORKER_REQUEST_SECONDS", "3601"),
        ("WEB_CPU", "3"),
        ("SWEEP_SCHEDULE", "* * * * * $(x)"),
        ("TORCH_INDEX_URL", "http://plain.example"),
    ],
    ids=lambda value: value if value.isupper() else "",
)
def test_a_wrong_value_is_refused_and_its_variable_named(name: str, value: str) -> None:
    assert refusal(**{name: value}).startswith(f"{name}=")


@pytest.mark.parametrize("name", ["PROJECT", "PROJECT_NUMBER"])
def test_what_has_no_default_is_asked_for(name: str) -> None:
    assert "PROJECT and PROJECT_NUMBER are needed" in refusal(**{name: ""})


def test_each_way_of_identity_needs_its_own_setting() -> None:
    assert "needs GOOGLE_AUDIENCE" in refusal(IDENTITY="google")
    assert refusal(IDENTITY="google", GOOGLE_AUDIENCE="7.apps.example") == ""
    assert "needs IAP_MEMBERS" in refusal(IDENTITY="iap")
    assert refusal(IDENTITY="iap", IAP_MEMBERS="domain:example.com") == ""


@pytest.mark.parametrize(("instances", "concurrency", "holds"), [(4, 1, True), (2, 2, True), (3, 1, False)])
def test_the_worker_takes_all_that_its_queue_sends_at_once(instances: int, concurrency: int, holds: bool) -> None:
    message = refusal(wider(OCR_QUEUE, 4), WORKER_MAX_INSTANCES=str(instances), WORKER_CONCURRENCY=str(concurrency))
    assert ("" if holds else "WORKER_MAX_INSTANCES x WORKER_CONCURRENCY = 3 is below") in message
    assert (message == "") is holds


def test_extraction_keeps_an_instance_for_the_sweep_beside_those_of_its_queue() -> None:
    assert "EXTRACT_MAX_INSTANCES less one" in refusal(wider(EXTRACT_QUEUE, 3), EXTRACT_MAX_INSTANCES="3")
    assert refusal(wider(EXTRACT_QUEUE, 3), EXTRACT_MAX_INSTANCES="4") == ""


@pytest.mark.parametrize("service", ["WORKER", "EXTRACT"])
def test_a_request_lasts_at_least_as_long_as_the_queue_waits(service: str) -> None:
    assert refusal(**{f"{service}_REQUEST_SECONDS": "600"}) == ""
    assert f"{service}_REQUEST_SECONDS=599 is below" in refusal(**{f"{service}_REQUEST_SECONDS": "599"})


def test_what_a_call_may_take_fits_into_the_dispatch_deadline() -> None:
    assert refusal(BATCH_SECONDS="480", PAGE_SECONDS="120") == ""
    assert "BATCH_SECONDS + PAGE_SECONDS = 601 s" in refusal(BATCH_SECONDS="481", PAGE_SECONDS="120")
    assert "EXTRACT_SECONDS = 601 s" in refusal(EXTRACT_SECONDS="601")


def test_extraction_has_memory_for_the_largest_upload_and_a_drawing_child() -> None:
    room = {"CHILD_MEMORY_BYTES": str(2 * GIB), "EXTRACT_MEMORY_GIB": "4"}
    assert refusal(UPLOAD_MAX_BYTES=str(3 * GIB // 2), **room) == ""
    assert "EXTRACT_MEMORY_GIB=4 is too little" in refusal(UPLOAD_MAX_BYTES=str(3 * GIB // 2 + 1), **room)


def test_memory_has_the_cpus_that_cloud_run_demands() -> None:
    assert "EXTRACT_MEMORY_GIB=9 needs EXTRACT_CPU=4" in refusal(EXTRACT_MEMORY_GIB="9")
    assert refusal(EXTRACT_MEMORY_GIB="9", EXTRACT_CPU="4") == ""


def test_a_gpu_has_the_cpus_and_memory_that_cloud_run_demands() -> None:
    assert "nvidia-l4 needs WORKER_CPU=4" in refusal(WORKER_DEVICE="gpu", WORKER_CPU="2", WORKER_MEMORY_GIB="8")
    assert "WORKER_MEMORY_GIB=16" in refusal(WORKER_DEVICE="gpu", WORKER_MEMORY_GIB="15")


def test_every_setting_is_in_the_documentation() -> None:
    text = (ROOT / "docs" / "deploy.md").read_text()
    missing = [
        name for field in msgspec.structs.fields(DeploySettings) if f"`{(name := field.encode_name)}`" not in text
    ]
    assert not missing
