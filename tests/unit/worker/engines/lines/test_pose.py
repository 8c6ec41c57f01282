"""Poses: turning a page upright, and the way back to the stored page."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.worker.engines.lines.pose import Pose
from tests.unit.worker.engines.pages import paper


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("skew", [0.0, 3.0, -7.5])
def test_mark_on_the_upright_picture_is_found_again_on_the_stored_page(rotation: int, skew: float) -> None:
    stored = paper(300, 200)
    stored[40:44, 250:254] = 0
    pose = Pose(width=300, height=200, rotation=rotation, skew=skew)
    upright = pose.apply(stored)
    assert upright.shape[:2] == pose.size()[::-1]
    ys, xs = np.nonzero(upright[:, :, 0] < 128)
    back = pose.to_stored(np.array([xs.mean() + 0.5, ys.mean() + 0.5]))
    assert np.abs(back - [252, 42]).max() < 0.75


def test_rotation_is_clockwise() -> None:
    stored = paper(30, 20)
    stored[0, 0] = 0
    upright = Pose(width=30, height=20, rotation=90).apply(stored)
    assert upright[0, -1, 0] == 0


@settings(deadline=None)
@given(st.sampled_from([0, 90, 180, 270]), st.floats(-10, 10), st.floats(-50, 5000), st.floats(-50, 5000))
def test_no_box_leaves_the_stored_page(rotation: int, skew: float, x: float, y: float) -> None:
    pose = Pose(width=1000, height=1500, rotation=rotation, skew=skew)
    back = pose.to_stored(np.array([[x, y]]))[0]
    assert 0 <= back[0] <= 1000
    assert 0 <= back[1] <= 1500


@given(st.sampled_from([0, 90, 180, 270]), st.floats(-10, 10), st.floats(0, 1000), st.floats(0, 1500))
def test_from_stored_is_the_way_back(rotation: int, skew: float, x: float, y: float) -> None:
    pose = Pose(width=1000, height=1500, rotation=rotation, skew=skew)
    there = pose.from_stored(np.array([[x, y]]))
    assert np.abs(pose.to_stored(there) - [[x, y]]).max() < 1e-6
