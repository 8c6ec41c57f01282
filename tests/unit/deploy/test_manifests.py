from typing import Any

import pytest
import yaml

from deploy import manifest
from deploy.settings import DeploySettings
from libs.config import read, refuse_forgotten_switch
from libs.config import variables as config_variables
from libs.taskqueue.cloudsettings import CloudTasksSettings
from libs.taskqueue.queue import OCR_QUEUE
from libs.taskqueue.queue_settings import read_queue_settings
from services.serving.queue_identity import check_queue_settings
from services.web.auth.configured import check_identity_settings
from services.web.config import WebConfig
from services.web.queue import choose_queue as web_queue
from services.worker.config import WorkerConfig
from services.worker.queue import choose_queue as worker_queue
from tests import ROOT

GIVEN = {"PROJECT": "acme-ocr-1", "PROJECT_NUMBER": "123456789012", "TAG": "abc123"}
MAKERS = {"web": manifest.web, "extract": manifest.extract, "worker": manifest.worker}


def service(name: str, **environ: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(MAKERS[name](read(DeploySettings, GIVEN | environ)))
    return found


def container(name: str, **environ: str) -> dict[str, Any]:
    found: dict[str, Any] = service(name, **environ)["spec"]["template"]["spec"]["containers"][0]
    return found


def variables(name: str, **environ: str) -> dict[str, Any]:
    return {entry["name"]: entry.get("value") for entry in container(name, **environ)["env"]}


@pytest.mark.parametrize("name", MAKERS)
def test_every_variable_has_one_text_and_none_is_one_that_cloud_run_keeps_for_itself(name: str) -> None:
    entries = container(name)["env"]
    names = [entry["name"] for entry in entries]

    assert len(names) == len(set(names))
    assert not {"PORT", "K_SERVICE", "K_REVISION"} & set(names)
    assert all(isinstance(entry.get("value", ""), str) for entry in entries)
    assert variables(name)["RUNNING_IN_CLOUD"] == "true"


def environ_in_the_cloud(name: str, **environ: str) -> dict[str, str]:
    """The variables as the process finds them on Cloud Run."""
    given = {key: value for key, value in variables(name, **environ).items() if value is not None}
    return given | {"INTERNAL_TOKEN": "f" * 64, "K_SERVICE": name}


@pytest.mark.parametrize("name", MAKERS)
def test_every_variable_is_one_that_the_service_reads(name: str) -> None:
    config = WorkerConfig if name == "worker" else WebConfig
    known = set(config_variables(config)) | set(config_variables(CloudTasksSettings))

    assert set(variables(name)) <= known


@pytest.mark.parametrize(
    "identity",
    [
        {},
        {"IDENTITY": "google", "GOOGLE_AUDIENCE": "7.example"},
        {"IDENTITY": "iap", "IAP_MEMBERS": "domain:a.example"},
    ],
    ids=["keys", "google", "iap"],
)
@pytest.mark.parametrize("name", ["web", "extract"])
def test_web_would_start_with_these_variables(name: str, identity: dict[str, str]) -> None:
    environ = environ_in_the_cloud(name, **identity)
    config = read(WebConfig, environ)

    check_identity_settings(config)
    refuse_forgotten_switch(config.running_in_cloud, config.k_service)
    web_queue(config, read_queue_settings(ROOT / "deploy" / "queue.yaml"), environ)


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_the_worker_would_start_with_these_variables(device: str) -> None:
    environ = environ_in_the_cloud("worker", WORKER_DEVICE=device)
    config = read(WorkerConfig, environ)

    check_queue_settings(
        account=config.tasks_service_account,
        url=config.worker_url,
        url_name="WORKER_URL",
        secret=config.internal_token,
    )
    refuse_forgotten_switch(config.running_in_cloud, config.k_service)
    worker_queue(config, environ)


@pytest.mark.parametrize("name", MAKERS)
def test_the_shared_secret_comes_from_secret_manager(name: str) -> None:
    entry = next(entry for entry in container(name)["env"] if entry["name"] == "INTERNAL_TOKEN")
    assert entry["valueFrom"] == {"secretKeyRef": {"name": "gnosis-ocr-internal-token", "key": "latest"}}


@pytest.mark.parametrize(("name", "port"), [("web", 7799), ("extract", 7799), ("worker", 7800)])
def test_probes_ask_the_port_that_the_image_listens_on(name: str, port: int) -> None:
    box = container(name)
    dockerfile = (ROOT / "services" / ("worker" if name == "worker" else "web") / "Dockerfile").read_text()

    assert f"EXPOSE {port}\n" in dockerfile
    assert box["ports"][0]["containerPort"] == port
    assert {box[probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe")} == {port}
    # Cloud Run waits no longer for a start.
    assert box["startupProbe"]["periodSeconds"] * box["startupProbe"]["failureThreshold"] <= 240


def test_web_is_public_and_speaks_http2_and_has_no_route_of_the_queue() -> None:
    assert service("web")["metadata"]["annotations"]["run.googleapis.com/ingress"] == "all"
    assert container("web")["ports"][0]["name"] == "h2c"
    assert variables("web")["WEB_ROUTES"] == "public"


def test_behind_the_identity_proxy_web_believes_its_assertions_alone() -> None:
    iap = {"IDENTITY": "iap", "IAP_MEMBERS": "domain:example.com"}
    given = variables("web", **iap)

    assert service("web", **iap)["metadata"]["annotations"]["run.googleapis.com/iap-enabled"] == "true"
    assert given["IAP_AUDIENCE"] == "/projects/123456789012/locations/europe-west4/services/gnosis-ocr-web"
    assert (given["API_KEYS"], given["GOOGLE_AUDIENCE"]) == ("false", "")
    assert variables("web")["API_KEYS"] == "true"


@pytest.mark.parametrize("name", ["extract", "worker"])
def test_what_the_queue_calls_is_private_and_known_under_the_address_its_tokens_are_made_for(name: str) -> None:
    notes = service(name)["metadata"]["annotations"]
    url = variables(name)[f"{name.upper()}_URL"]

    assert notes["run.googleapis.com/ingress"] == "internal"
    assert notes["run.googleapis.com/custom-audiences"] == f'["{url}"]'


def test_extraction_is_the_web_image_with_the_routes_of_the_queue_alone_one_task_at_a_time() -> None:
    assert container("extract")["image"] == container("web")["image"]
    assert variables("extract")["WEB_ROUTES"] == "internal"
    assert service("extract")["spec"]["template"]["spec"]["containerConcurrency"] == 1


def test_a_gpu_worker_asks_for_one_gpu_and_for_cpus_that_are_never_throttled() -> None:
    template = service("worker", WORKER_DEVICE="gpu")["spec"]["template"]
    limits = template["spec"]["containers"][0]["resources"]["limits"]
    notes = template["metadata"]["annotations"]

    assert template["spec"]["nodeSelector"] == {"run.googleapis.com/accelerator": "nvidia-l4"}
    assert limits == {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"}
    assert notes["run.googleapis.com/cpu-throttling"] == "false"
    assert notes["run.googleapis.com/gpu-zonal-redundancy-disabled"] == "true"


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_the_worker_gets_the_models_name_and_place(device: str) -> None:
    revision = "1234567890" * 4
    given = variables("worker", WORKER_DEVICE=device, MODEL_NAME="acme/Reader", MODEL_REVISION=revision)
    config = read(WorkerConfig, environ_in_the_cloud("worker", WORKER_DEVICE=device, MODEL_REVISION=revision))

    assert (given["MODEL_NAME"], given["MODEL_REVISION"]) == ("acme/Reader", revision)
    assert config.model.model_revision == revision, "digits alone are a text all the same"
    assert config.model.bucket(in_cloud=True) == "acme-ocr-1-gnosis-ocr-models"
    assert not config.model.offline


def test_the_model_is_mounted_only_where_it_is_asked_for_and_then_nothing_else_is_fetched() -> None:
    for source, mounts, offline in (("bucket", 0, "false"), ("mount", 1, "true"), ("image", 0, "true")):
        chosen = {"WORKER_DEVICE": "gpu", "MODEL_SOURCE": source}
        spec = service("worker", **chosen)["spec"]["template"]["spec"]

        assert (len(spec["volumes"]), len(spec["containers"][0]["volumeMounts"])) == (mounts, mounts)
        assert variables("worker", **chosen)["MODEL_OFFLINE"] == offline
        for volume, mount in zip(spec["volumes"], spec["containers"][0]["volumeMounts"], strict=True):
            assert volume["csi"]["volumeAttributes"]["bucketName"] == "acme-ocr-1-gnosis-ocr-models"
            assert (volume["name"], volume["csi"]["readOnly"], mount["readOnly"]) == (mount["name"], True, True)
            assert mount["mountPath"] == WorkerConfig(running_in_cloud=True).model.model_cache_path


def test_both_workers_differ_in_what_the_gpu_needs_and_in_nothing_else() -> None:
    cpu, gpu = (service("worker", WORKER_DEVICE=device)["spec"]["template"] for device in ("cpu", "gpu"))
    box = gpu["spec"]["containers"][0]
    for key in ("cpu-throttling", "gpu-zonal-redundancy-disabled", "execution-environment"):
        del gpu["metadata"]["annotations"][f"run.googleapis.com/{key}"]
    del gpu["spec"]["nodeSelector"], gpu["spec"]["volumes"], box["volumeMounts"]
    limit = next(entry for entry in box["env"] if entry["name"] == "PAGE_SECONDS")
    assert (limit["value"], box["image"].split("/")[-1]) == ("300", "worker-gpu:abc123")
    box["env"].remove({"name": "OCR_ENGINE", "value": "nanonets"})
    plain = cpu["spec"]["containers"][0]
    limit["value"], box["image"], box["resources"] = "120", plain["image"], plain["resources"]

    assert gpu == cpu


def test_the_shipped_queue_sends_no_more_at_once_than_the_worker_takes() -> None:
    template = service("worker")["spec"]["template"]
    instances = int(template["metadata"]["annotations"]["autoscaling.knative.dev/maxScale"])
    queue = read_queue_settings(ROOT / "deploy" / "queue.yaml")[OCR_QUEUE]

    assert instances * template["spec"]["containerConcurrency"] >= queue.max_concurrent_dispatches
    assert template["spec"]["timeoutSeconds"] >= queue.dispatch_deadline_seconds
