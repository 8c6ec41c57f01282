"""Settings from the environment."""

import pytest

from libs.config import ConfigError, read, refuse_forgotten_switch
from services.serving.queue_identity import check_queue_settings
from services.web.app import mounted
from services.web.auth.configured import check_identity_settings
from services.web.config import WebConfig
from services.worker.config import WorkerConfig


def test_empty_environment_gives_the_documented_defaults() -> None:
    config = read(WebConfig, {})
    assert (config.web_host, config.web_port, config.worker_base) == ("127.0.0.1", 7799, "http://127.0.0.1:7800")
    assert read(WorkerConfig, {"WEB_PORT": "9", "WORKER_PORT": " "}).queue_base == "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WEB_PORT", "0"),
        ("WEB_PORT", "65536"),
        ("WEB_PORT", "http"),
        ("LEASE_SECONDS", "-1"),
        ("LOG_LEVEL", "LOUD"),
        ("RUNNING_IN_CLOUD", "maybe"),
        ("OCR_BATCH_SIZE", "0"),
    ],
)
def test_wrong_setting_is_named_with_its_value(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}='{value}': "):
        read(WebConfig, {name: value})


@pytest.mark.parametrize("value", ["true", "TRUE", "True"])
def test_cloud_switch_is_read_in_any_letter_case(value: str) -> None:
    assert read(WebConfig, {"RUNNING_IN_CLOUD": value}).running_in_cloud


def test_cloud_run_without_the_switch_is_refused() -> None:
    with pytest.raises(ConfigError, match="RUNNING_IN_CLOUD=true"):
        refuse_forgotten_switch(running_in_cloud=False, k_service="gnosis-web")
    refuse_forgotten_switch(running_in_cloud=False, k_service="")


QUEUE = {"TASKS_SERVICE_ACCOUNT": "queue@example.org", "EXTRACT_URL": "https://web.example.org"}


@pytest.mark.parametrize(
    ("environ", "fault"),
    [
        ({}, "IAP_AUDIENCE, GOOGLE_AUDIENCE or API_KEYS"),
        (QUEUE, "IAP_AUDIENCE, GOOGLE_AUDIENCE or API_KEYS"),
        ({**QUEUE, "ALLOWED_DOMAINS": "example.org"}, "IAP_AUDIENCE, GOOGLE_AUDIENCE or API_KEYS"),
        ({**QUEUE, "API_KEYS": "false"}, "IAP_AUDIENCE, GOOGLE_AUDIENCE or API_KEYS"),
        ({**QUEUE, "API_KEYS": "true"}, ""),
        ({**QUEUE, "GOOGLE_AUDIENCE": "client"}, ""),
        ({**QUEUE, "IAP_AUDIENCE": "/projects/1"}, "WEB_ROUTES=public"),
        ({"IAP_AUDIENCE": "/projects/1", "WEB_ROUTES": "public"}, ""),
        ({"WEB_ROUTES": "public"}, "IAP_AUDIENCE, GOOGLE_AUDIENCE or API_KEYS"),
        ({"WEB_ROUTES": "internal"}, "TASKS_SERVICE_ACCOUNT"),
        ({**QUEUE, "WEB_ROUTES": "internal"}, ""),
        ({"API_KEYS": "true", "EXTRACT_URL": "https://web.example.org"}, "TASKS_SERVICE_ACCOUNT"),
        ({"API_KEYS": "true", "TASKS_SERVICE_ACCOUNT": "queue@example.org"}, "EXTRACT_URL"),
        ({**QUEUE, "API_KEYS": "true", "INTERNAL_TOKEN": "s" * 31}, "INTERNAL_TOKEN"),
        ({**QUEUE, "API_KEYS": "true", "INTERNAL_TOKEN": "s" * 32}, ""),
    ],
    ids=lambda value: " ".join(f"{k}={v[:8]}" for k, v in value.items())[:60] if isinstance(value, dict) else "",
)
def test_cloud_mode_starts_only_when_it_can_tell_who_asks(environ: dict[str, str], fault: str) -> None:
    config = read(WebConfig, {**environ, "RUNNING_IN_CLOUD": "true"})
    if fault:
        with pytest.raises(ConfigError, match=fault):
            check_identity_settings(config)
    else:
        check_identity_settings(config)
    check_identity_settings(read(WebConfig, environ))


def test_the_worker_in_the_cloud_must_know_the_queue() -> None:
    check_queue_settings(account="queue@example.org", url="https://w.example.org", url_name="WORKER_URL", secret="")
    with pytest.raises(ConfigError, match="WORKER_URL"):
        check_queue_settings(account="queue@example.org", url="", url_name="WORKER_URL", secret="")


def test_the_tokens_of_the_queue_are_made_for_the_address_unless_an_audience_is_set() -> None:
    given = {"EXTRACT_URL": "https://web.example.org/", "WORKER_URL": "https://worker.example.org/"}
    assert read(WebConfig, given).queue_audience == "https://web.example.org"
    assert read(WorkerConfig, given).queue_audience == "https://worker.example.org"
    given |= {"EXTRACT_AUDIENCE": "web", "WORKER_AUDIENCE": "worker"}
    assert (read(WebConfig, given).queue_audience, read(WorkerConfig, given).queue_audience) == ("web", "worker")


def test_each_kind_of_web_service_has_its_own_routes_and_both_have_all() -> None:
    def paths(kind: str) -> set[str]:
        return {route.path for route in mounted(read(WebConfig, {"WEB_ROUTES": kind}))}

    everything = paths("all")
    internal = {path for path in everything if path.startswith("/internal/")}
    assert "/internal/extract" in internal
    assert paths("public") == everything - internal
    assert paths("internal") == internal | {"/health", "/ready", "/version"}
