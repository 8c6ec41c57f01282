"""All profiles, and the one to use: by the model's name, and by the settings where they say otherwise."""

import json
from typing import Any

import msgspec

from services.worker.engines.engine import EngineUnavailable
from services.worker.engines.profiles import chandra, deepseek, dots, glm, lighton, nanonets, olmocr, paddle, plain
from services.worker.engines.profiles.profile import Profile
from services.worker.engines.settings import EngineSettings

#: In the order of the table in docs/engines.md.
PROFILES = (
    nanonets.OCR_S,
    nanonets.OCR2,
    olmocr.PROFILE,
    lighton.PROFILE,
    chandra.PROFILE,
    dots.PROFILE,
    deepseek.PROFILE,
    paddle.PROFILE,
    glm.PROFILE,
    plain.PROFILE,
)


def choose(model: str, settings: EngineSettings, *, unknown: Profile = plain.PROFILE) -> Profile:
    """The profile of a model, with what the settings replace of it; `unknown` for a name that no family has.

    Raises `EngineUnavailable` for a wrong setting.
    """
    profile = _named(settings.ocr_profile, unknown) if settings.ocr_profile else _of_model(model, unknown)
    limits = profile.limits
    side = settings.openai.openai_max_side
    # A longer side that is set allows as many pixels as it needs, unless these are set too.
    largest = settings.model_max_pixels or (max(limits.max_pixels, side**2) if side else limits.max_pixels)
    limits = msgspec.structs.replace(
        limits,
        max_pixels=largest,
        min_pixels=min(settings.model_min_pixels or limits.min_pixels, largest),
        max_side=side or limits.max_side,
    )
    temperature = profile.temperature if settings.model_temperature is None else settings.model_temperature
    return msgspec.structs.replace(
        profile,
        prompt=settings.ocr_prompt or profile.prompt,
        limits=limits,
        temperature=temperature,
        fields={**profile.fields, **_fields(settings.openai.openai_fields)},
    )


def _of_model(model: str, unknown: Profile) -> Profile:
    """The first profile of whose names the model's has one."""
    name = model.lower()
    return next((profile for profile in PROFILES if any(part in name for part in profile.names)), unknown)


def _named(name: str, unknown: Profile) -> Profile:
    # First `unknown`: as `plain` it has the limits of the engine, whose decoder takes no image of any size.
    for profile in (unknown, *PROFILES):
        if profile.name == name:
            return profile
    names = ", ".join(profile.name for profile in PROFILES)
    raise EngineUnavailable(f"There is no profile {name!r}; set OCR_PROFILE to one of: {names}. Empty: by the model.")


def _fields(written: str) -> dict[str, Any]:
    """The request fields of OPENAI_FIELDS, a JSON object."""
    try:
        fields = json.loads(written) if written else {}
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise EngineUnavailable('OPENAI_FIELDS has to be a JSON object, such as {"top_p": 0.9}.')
    return fields
