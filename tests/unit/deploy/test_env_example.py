"""`.env.example` documents every setting, with its default."""

from libs.config import read, variables
from libs.taskqueue.cloudsettings import CloudTasksSettings
from services.local.config import LocalConfig
from services.serving.entrypoint import EntrypointSettings
from services.web.config import WebConfig
from services.worker.config import WorkerConfig
from tests import ROOT

EXAMPLE = ROOT / ".env.example"
# Set by Cloud Run, never by an operator.
BY_THE_PLATFORM = {"K_SERVICE"}
KINDS = (WebConfig, WorkerConfig, LocalConfig, CloudTasksSettings, EntrypointSettings)


def documented() -> dict[str, str]:
    lines = [line for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_every_setting_is_documented_and_every_documented_one_exists() -> None:
    names = {name for kind in KINDS for name in variables(kind)}
    assert set(documented()) == names - BY_THE_PLATFORM


def test_documented_values_are_the_defaults() -> None:
    for kind in KINDS:
        assert read(kind, documented()) == read(kind, {})
