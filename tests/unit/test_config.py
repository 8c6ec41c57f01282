"""Settings from the environment."""

import pytest

from libs.config import ConfigError, read, refuse_unready_cloud
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
        refuse_unready_cloud(running_in_cloud=False, k_service="gnosis-web")
    refuse_unready_cloud(running_in_cloud=False, k_service="")
