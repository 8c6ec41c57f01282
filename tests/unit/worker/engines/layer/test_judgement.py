"""The verdict on a layer, by its figures."""

from typing import Any

import pytest

from libs.jobstate.provenance import LayerVerdict
from services.worker.engines.layer.judgement import (
    MAX_INVISIBLE,
    MAX_LOOSE,
    MAX_MEANINGLESS,
    MAX_MISSING,
    MAX_SLANTED,
    MAX_UNSEEN,
    Figures,
    judge,
)
from services.worker.engines.layer.letters import Letters
from services.worker.engines.layer.spotcheck import Check, Crop


def check(read: str, *, font: int = 0, text: str = "the committee approved") -> Check:
    return Check(crop=Crop(text=text, box=(0, 0, 100, 10), font=font), read=read)


RIGHT, WRONG = check("The committee approved"), check("uif dpnnjuuff bqqspwfe")


def counted(**changes: Any) -> Letters:
    good: dict[str, Any] = {"characters": 1000, "unmapped": 0, "broken": 0, "visual_order": False, "implausible": False}
    return Letters(**(good | changes))


def figures(**changes: Any) -> Figures:
    good: dict[str, Any] = {
        "letters": counted(),
        "invisible": 0,
        "unseen": 0,
        "slanted": 0,
        "picture": 0.0,
        "covered": 1000,
        "loose": 0,
        "readable": 1.0,
        "checks": (RIGHT,) * 12,
    }
    return Figures(**(good | changes))


def of(share: float, *, over: int = 0) -> int:
    """This share of a thousand, or so many more."""
    return round(1000 * share) + over


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, LayerVerdict.TRUSTED),
        ({"letters": counted(characters=0)}, LayerVerdict.EMPTY),
        ({"letters": counted(unmapped=of(MAX_MEANINGLESS))}, LayerVerdict.TRUSTED),
        ({"letters": counted(unmapped=of(MAX_MEANINGLESS, over=1))}, LayerVerdict.GARBLED),
        ({"letters": counted(broken=of(MAX_MEANINGLESS, over=1))}, LayerVerdict.GARBLED),
        ({"letters": counted(implausible=True)}, LayerVerdict.GARBLED),
        ({"letters": counted(visual_order=True)}, LayerVerdict.VISUAL_ORDER),
        ({"invisible": of(MAX_INVISIBLE)}, LayerVerdict.TRUSTED),
        ({"invisible": of(MAX_INVISIBLE, over=1)}, LayerVerdict.INVISIBLE),
        ({"unseen": of(MAX_UNSEEN, over=1)}, LayerVerdict.UNSEEN),
        ({"slanted": of(MAX_SLANTED, over=1)}, LayerVerdict.SLANTED),
        ({"picture": 1.0}, LayerVerdict.TRUSTED),
        # A picture's texture is no print; half of these marks are.
        ({"loose": 900, "printed": 0.0}, LayerVerdict.TRUSTED),
        ({"loose": 900, "printed": MAX_MISSING}, LayerVerdict.TRUSTED),
        ({"loose": 900, "printed": 0.5}, LayerVerdict.INCOMPLETE),
        # In a script that cannot be read, nothing tells texture from print.
        ({"loose": 900, "readable": 0.1, "checks": ()}, LayerVerdict.INCOMPLETE),
        ({"loose": of(MAX_LOOSE), "readable": 0.1, "checks": ()}, LayerVerdict.TRUSTED),
        ({"readable": 0.1, "checks": ()}, LayerVerdict.TRUSTED),
        ({"checks": ()}, LayerVerdict.UNCHECKED),
        ({"checks": (RIGHT,) * 11 + (WRONG,)}, LayerVerdict.TRUSTED),
        ({"checks": (RIGHT,) * 9 + (WRONG,) * 3}, LayerVerdict.DIFFERENT),
        ({"checks": (WRONG,)}, LayerVerdict.DIFFERENT),
        (
            {"checks": (RIGHT,) * 30 + (check("uif dpnnjuuff bqqspwfe", font=1),) * 2},
            LayerVerdict.DIFFERENT,
        ),
    ],
    ids=str,
)
def test_the_first_rule_that_a_layer_breaks_is_its_verdict(changes: dict[str, Any], verdict: LayerVerdict) -> None:
    assert judge(figures(**changes)).verdict is verdict


def test_the_report_has_the_figures_as_shares() -> None:
    report = judge(figures(letters=counted(unmapped=5, broken=10), unseen=50, loose=100, printed=0.5, picture=1.4))
    assert (report.characters, report.meaningless, report.unmapped) == (1000, 0.015, 0.005)
    assert (report.unseen, report.picture, report.missing) == (0.05, 1.0, 0.048)
    assert (report.compared, report.agreement) == (12, 1.0)
