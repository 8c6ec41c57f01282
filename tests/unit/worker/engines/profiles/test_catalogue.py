"""Which profile a model has, and what the settings replace of it."""

import msgspec
import pytest

from services.worker.engines.engine import EngineUnavailable
from services.worker.engines.profiles import nanonets, plain
from services.worker.engines.profiles.catalogue import PROFILES, choose
from services.worker.engines.settings import EngineSettings, OpenAiSettings
from tests import ROOT

SETTINGS = EngineSettings()


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("nanonets/Nanonets-OCR-s", "nanonets-ocr-s"),
        ("unsloth/Nanonets-OCR-s-GGUF", "nanonets-ocr-s"),
        ("nanonets/Nanonets-OCR2-3B", "nanonets-ocr2"),
        ("allenai/olmOCR-2-7B-1025-FP8", "olmocr-2"),
        ("lightonai/LightOnOCR-2-1B-bbox", "lightonocr-2"),
        ("datalab-to/chandra-ocr-2", "chandra-2"),
        ("rednote-hilab/dots.ocr", "dots.ocr"),
        ("deepseek-ai/DeepSeek-OCR-2", "deepseek-ocr-2"),
        ("PaddlePaddle/PaddleOCR-VL-1.5", "paddleocr-vl"),
        ("zai-org/GLM-OCR", "glm-ocr"),
        ("Qwen/Qwen2.5-VL-3B-Instruct", "plain"),
        ("", "plain"),
    ],
)
def test_a_model_is_known_by_its_name(model: str, name: str) -> None:
    assert choose(model, SETTINGS).name == name


def test_every_profile_is_chosen_for_its_own_model() -> None:
    assert [choose(profile.model, SETTINGS).name for profile in PROFILES] == [profile.name for profile in PROFILES]


def test_the_settings_replace_what_the_profile_says() -> None:
    settings = EngineSettings(
        ocr_profile="dots.ocr",
        ocr_prompt="Read.",
        model_min_pixels=784,
        model_max_pixels=7840,
        model_temperature=0.0,
        openai=OpenAiSettings(openai_max_side=512, openai_fields='{"top_p": 0.5, "top_k": 1}'),
    )
    chosen = choose("nanonets/Nanonets-OCR-s", settings)
    assert (chosen.name, chosen.prompt, chosen.temperature) == ("dots.ocr", "Read.", 0.0)
    assert (chosen.limits.min_pixels, chosen.limits.max_pixels, chosen.limits.max_side) == (784, 7840, 512)
    assert chosen.fields == {"top_p": 0.5, "top_k": 1}


def test_the_least_is_never_more_than_the_most() -> None:
    limits = choose("nanonets/Nanonets-OCR-s", EngineSettings(model_max_pixels=40 * 784)).limits
    assert limits.min_pixels == limits.max_pixels == 40 * 784


def test_a_longer_side_that_is_set_is_not_held_back_by_the_pixels() -> None:
    limits = choose("", EngineSettings(openai=OpenAiSettings(openai_max_side=4096))).limits
    assert (limits.max_side, limits.max_pixels) == (4096, 4096 * 4096)


def test_a_family_may_have_a_profile_for_models_without_one() -> None:
    assert choose("somebody/fine-tune", SETTINGS, unknown=nanonets.OCR_S) == nanonets.OCR_S
    assert choose("somebody/fine-tune", SETTINGS) == plain.PROFILE


def test_plain_by_its_name_keeps_the_limits_of_the_engine() -> None:
    unknown = msgspec.structs.replace(plain.PROFILE, limits=nanonets.LIMITS)
    chosen = choose("nanonets/Nanonets-OCR-s", EngineSettings(ocr_profile="plain"), unknown=unknown)
    assert (chosen.prompt, chosen.limits) == (plain.PROMPT, nanonets.LIMITS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (EngineSettings(ocr_profile="word"), r"no profile 'word'.*nanonets-ocr-s, .*plain"),
        (EngineSettings(openai=OpenAiSettings(openai_fields="[1]")), "OPENAI_FIELDS has to be a JSON object"),
        (EngineSettings(openai=OpenAiSettings(openai_fields="{")), "OPENAI_FIELDS has to be a JSON object"),
    ],
)
def test_a_wrong_setting_is_reported(settings: EngineSettings, message: str) -> None:
    with pytest.raises(EngineUnavailable, match=message):
        choose("", settings)


def test_the_table_of_engines_has_what_the_profiles_say() -> None:
    page = (ROOT / "docs" / "engines.md").read_text()
    for profile in PROFILES:
        assert f"`{profile.name}`" in page
        assert profile.model in page
        assert profile.serve in page
        assert profile.licence.split(":")[0] in page
        for score in profile.scores:
            assert f"{score.value} {score.benchmark}" in page
