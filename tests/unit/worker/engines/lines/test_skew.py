"""The skew of a page, measured from its pixels."""

import numpy as np
import pytest

from services.worker.engines.lines.skew import skew_by_profile
from tests.unit.worker.engines.pages import paper, printed


@pytest.mark.parametrize("tilt", [-9.0, -3.0, -0.8, 0.8, 3.0, 9.0])
def test_tilt_of_a_page_is_measured(tilt: float) -> None:
    assert skew_by_profile(printed(tilt)) == pytest.approx(-tilt, abs=0.25)


def test_level_and_textless_pages_have_no_tilt() -> None:
    assert abs(skew_by_profile(printed())) < 0.11
    assert skew_by_profile(paper()) == 0.0
    photograph = np.random.default_rng(1).integers(0, 255, (1200, 900, 1)).astype(np.uint8)
    assert skew_by_profile(np.repeat(photograph, 3, axis=2)) == 0.0
