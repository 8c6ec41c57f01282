"""Which model, and where its cache is (R51, R55)."""

import re
from pathlib import Path

import pytest

from libs.config import ConfigError, read
from services.worker.config import WorkerConfig
from services.worker.modelcache.settings import DEFAULT_REVISION, ModelSettings


def test_root_is_where_a_model_already_is(tmp_path: Path) -> None:
    home, storage = tmp_path / "home", tmp_path / "storage"
    plain = ModelSettings()

    assert plain.cache_root(in_cloud=True, storage=storage, home=home) == Path("/cache/huggingface")
    assert plain.cache_root(in_cloud=False, storage=storage, home=home) == storage / "cache" / "huggingface"
    assert plain.cache_root(in_cloud=False, storage=storage, home=None) == storage / "cache" / "huggingface"
    (home / ".cache" / "huggingface").mkdir(parents=True)
    assert plain.cache_root(in_cloud=False, storage=storage, home=home) == home / ".cache" / "huggingface"
    chosen = ModelSettings(hf_cache_host_path="/models", model_cache_path="/elsewhere")
    assert chosen.cache_root(in_cloud=False, storage=storage, home=home) == Path("/models")
    assert chosen.cache_root(in_cloud=True, storage=storage, home=home) == Path("/elsewhere")


def test_the_default_model_is_that_of_one_commit_and_any_other_that_of_its_main_branch() -> None:
    assert ModelSettings().revision == DEFAULT_REVISION
    assert re.fullmatch("[0-9a-f]{40}", DEFAULT_REVISION)
    assert ModelSettings(model_name="acme/Reader").revision == "main"
    assert ModelSettings(model_revision="v2").revision == "v2"


def test_bucket_is_the_one_named_and_in_the_cloud_there_is_a_default() -> None:
    assert ModelSettings().bucket(in_cloud=False) == ""
    assert ModelSettings().bucket(in_cloud=True) == "gnosis-ocr-models"
    assert ModelSettings(model_bucket_name="mine").bucket(in_cloud=False) == "mine"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MODEL_NAME", "../../etc"),
        ("MODEL_NAME", "a/b/c"),
        ("MODEL_NAME", "a--b/c"),
        ("MODEL_REVISION", "../main"),
        ("MODEL_REVISION", "/main"),
        ("MODEL_REVISION", "a//b"),
    ],
)
def test_names_that_lead_out_of_the_cache_are_refused_at_the_start(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        read(WorkerConfig, {name: value})
